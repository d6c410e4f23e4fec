"""`kalmap check` and `kalmap tune` on files of the test's own folder."""

from kalmap_cli.main import main


def write(tmp_path, name, content):
    data = content if isinstance(content, bytes) else content.encode()
    (tmp_path / name).write_bytes(data)
    return name


def checked(capsys, *arguments):
    code = main(["check", *arguments])
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return code, out, err


def checked_content(capsys, tmp_path, content, *arguments, name="f.csv"):
    """Check a file of one person."""
    return checked(capsys, write(tmp_path, name, content), "--user", "u", *arguments)


def refused(capsys, *arguments):
    code, _, err = checked(capsys, *arguments)
    assert code == 2, err
    return err


def dated(values, mark=","):
    """Rows with these values, one a day."""
    return "".join(f"2026-01-{day:02d}{mark}{value}\n" for day, value in enumerate(values, start=1))


def table(rows, users=50):
    """A large file of many users in order of time, and its values."""
    lines = [
        f"p{row % users};{row // 1440 % 28 + 1:02d}.03.2026 {row // 60 % 24:02d}:{row % 60:02d};"
        f"{70 + row % 7 / 10:.1f}".replace(".", ",", 3).replace(",", ".", 2)
        for row in range(rows)
    ]
    return "Patient;Datum;Gewicht [kg]\n" + "\n".join(lines) + "\n"
