"""The custody drill: everything that must work on the worst day, done once on a machine of one's own.

`stage` runs steps and tells of them, `house` is the installation with its processes, `steps` is what is done.
"""
