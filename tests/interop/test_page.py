"""docs/INTEROP.md says what expectations.py says; only its versions and date are its own."""
import difflib

from lab import page


def test_page():
    written = page.PATH.read_text()
    wanted = page.render(page.confirmed_by(written))
    assert written == wanted, "run tests/interop/publish:\n" + "\n".join(
        difflib.unified_diff(written.splitlines(), wanted.splitlines(), "docs/INTEROP.md", "expectations.py", lineterm=""))
