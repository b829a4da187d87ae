"""What is written down of the matrix and of the command line, made from the code that reads them.

`python -m rejeu.reference` writes it, from the checkout's root.
"""

from rejeu.reference import commands_page, matrix_page, schema

FILES = {
    "ci/matrix.schema.json": schema.text,
    "docs/reference/matrix.md": matrix_page.page,
    "docs/reference/commands.md": commands_page.page,
}
