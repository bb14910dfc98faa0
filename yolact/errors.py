"""The root of every error a user can cause. The command line prints its message alone, without a traceback."""


class UserError(Exception):
    """Something the user can mend. The message names the file, field or value and says what to do."""
