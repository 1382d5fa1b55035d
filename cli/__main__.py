"""`python -m cli` is `capstan`."""

from cli.main import main

if __name__ == "__main__":
    main()
