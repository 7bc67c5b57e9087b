from datasets.errors import explain_import_error


def test_a_library_that_is_missing_can_be_installed():
    error = ModuleNotFoundError("No module named 'acts'", name="acts")
    assert explain_import_error(error, "data") == "not installed: pip install '.[data]'"


def test_a_library_that_cannot_be_loaded_is_quoted_in_one_line():
    error = ImportError("libmpi.so.40: cannot open shared object file:\n  No such file")
    assert explain_import_error(error, "data") == (
        "installed but cannot be loaded: libmpi.so.40: cannot open shared object file: No such file"
    )
