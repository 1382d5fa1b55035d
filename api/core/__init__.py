"""What every route stands on: errors as problems, effects that happen once, pages, request ids, versions, amounts."""
