def test_the_first_time_names_what_was_applied_and_the_second_that_nothing_was(durex, empty_url):
    first = durex.json("migrate", "--database", empty_url)
    second = durex.run("migrate", "--database", empty_url)
    third = durex.json("migrate", "--database", empty_url)
    assert first["applied"][0] == "0001_initial"
    assert (second.returncode, second.stdout.splitlines()[-1]) == (0, "up to date")
    assert third["applied"] == []


def test_what_was_applied_is_told_line_by_line(durex, tmp_path):
    done = durex.run("migrate", "--database", f"sqlite:///{tmp_path}/empty.db")
    assert "applied 0001_initial\n" in done.stdout


def test_a_postgres_that_was_never_migrated_is_a_failure_that_says_so(durex, postgres_server):
    url = postgres_server  # its own database holds no tables of durex
    for arguments in (["enqueue", "fail"], ["show", "019a2063-fc05-72e4-9bc1-56922de41a35"], ["worker"]):
        done = durex.run(*arguments, "--json", "--database", url)
        assert done.returncode == 1
        assert '"type": "SchemaMissing"' in done.stdout
        assert "durex migrate" in done.stderr
