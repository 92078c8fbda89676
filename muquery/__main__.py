"""`python -m muquery` is the `muquery` command."""

from service.cli import main

if __name__ == "__main__":
    main()
