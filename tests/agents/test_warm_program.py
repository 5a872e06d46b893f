"""What a fork server prepares for the programs of its forks."""

import sys

import pytest

from sweepkit.agents.warm.program import Compiled


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "program.py"
    path.write_bytes(b"print(1)\n")
    return path


@pytest.fixture
def kept(script, monkeypatch):
    """Let a script be compiled as the server does it, whose modules lie on its shelf."""

    def keep(compiled):
        with monkeypatch.context() as patch:
            patch.delitem(sys.modules, "warnings")
            compiled.keep(str(script))
            assert "warnings" not in sys.modules

    return keep


def test_a_script_is_compiled_once_for_all_forks(script, kept):
    compiled = Compiled()
    kept(compiled)
    code = compiled.code(str(script), script.read_bytes())
    assert code is compiled.code(str(script), script.read_bytes())
    assert code.co_filename == str(script)


def test_a_script_that_was_edited_meanwhile_is_compiled_anew(script, kept):
    compiled = Compiled()
    kept(compiled)
    assert compiled.code(str(script), b"print(2)\n").co_consts != compiled.code(str(script), b"print(1)\n").co_consts


@pytest.mark.parametrize("source", [b"x = 1 is 1\n", b"def broken(:\n"], ids=["warning", "syntax error"])
def test_a_script_of_which_the_compiler_says_something_is_compiled_in_each_run(script, kept, source):
    script.write_bytes(source)
    compiled = Compiled()
    kept(compiled)
    with pytest.raises(SyntaxError) if b"broken" in source else pytest.warns(SyntaxWarning):
        compiled.code(str(script), source)
