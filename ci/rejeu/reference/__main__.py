from pathlib import Path

from rejeu.reference import FILES

for path, text in FILES.items():
    Path(path).write_text(text(), encoding="utf-8")
