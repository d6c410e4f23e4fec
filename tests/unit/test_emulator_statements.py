"""PartiQL statements on the local cloud: each text is parsed once."""

import pytest
from ministack.services import dynamodb

from kalmap_cli.local.emulator import parsed_statements

STATEMENTS = [
    ("INSERT INTO \"t\" VALUE {'user_id': ?, 'state': ?, 'kind': 'x', 'deep': {'n': 1}}", 2),
    ('UPDATE "t" SET "state" = ? SET "level" = ? WHERE "user_id" = ? AND "version" = ?', 4),
    ('UPDATE "t" SET "n" = "n" + ? REMOVE "old" WHERE "user_id" = ? RETURNING ALL OLD *', 2),
    ('DELETE FROM "t" WHERE "user_id" = ? AND NOT (attribute_exists("a") OR "b" <> ?)', 2),
    ('SELECT "a", "b.c" FROM "t" WHERE "user_id" = ? AND contains("a", ?)', 2),
    ('SELECT * FROM "t" WHERE "user_id" = ? AND "n" BETWEEN ? AND ?', 3),
    ('SELECT * FROM "t" WHERE "user_id" IN [?, ?] AND "n" < ?', 3),
    ('UPDATE "t" SET "tags" = set_add("tags", <<?>>) WHERE "user_id" = ?', 2),
    ('UPDATE "t" SET "list" = [?, ?] WHERE "user_id" = ?', 3),
    ('INSERT INTO "t" VALUE ?', 1),
    ('UPDATE "t" SET', 0),
    ('EXISTS(SELECT * FROM "t" WHERE "user_id" = ?)', 1),
]
VALUES = [{"S": "u"}, {"N": "5"}, {"B": "AA=="}, {"M": {"a": {"S": "b"}}}]


def outcome(parse, text, values):
    """What a parser gives: a tree, or an error."""
    try:
        return parse(text, values)
    except ValueError as error:
        return type(error), str(error), getattr(error, "statement_level", None)


@pytest.mark.parametrize(("text", "count"), STATEMENTS)
def test_a_statement_with_its_parameters_put_in_is_what_ministack_would_have_parsed(text, count):
    for first in range(len(VALUES)):
        values = [VALUES[(first + n) % len(VALUES)] for n in range(count)]
        for given in (values, values + VALUES[:1], values[:-1], None, []):
            expected = outcome(parsed_statements._parse_anew, text, given)
            assert outcome(parsed_statements.parse_statement, text, given) == expected


def test_what_was_put_into_one_statement_is_not_in_another():
    text = STATEMENTS[0][0]
    one = parsed_statements.parse_statement(text, VALUES[:2])["item"]
    other = parsed_statements.parse_statement(text, VALUES[1:3])["item"]
    one["deep"]["M"]["n"]["N"] = "changed"
    assert other["deep"] == {"M": {"n": {"N": "1"}}}
    assert (one["user_id"], other["user_id"]) == (VALUES[0], VALUES[1])


def test_a_batch_of_statements_parses_each_text_once(monkeypatch):
    """If the first figure is no longer 20, ministack does so, and parsed_statements is needless."""
    text = 'UPDATE "none" SET "state" = ? WHERE "user_id" = ?'
    batch = {
        "Statements": [
            {"Statement": "".join(text), "Parameters": [{"S": str(n)}, {"S": "u"}]}
            for n in range(10)
        ]
    }
    for name in ("_parse_partiql", "parse_partiql_statement"):
        monkeypatch.setattr(dynamodb, name, getattr(dynamodb, name))
    parsed = []
    anew = parsed_statements._parse_anew

    def count(*arguments):
        parsed.append(arguments)
        return anew(*arguments)

    monkeypatch.setattr(dynamodb, "parse_partiql_statement", count)
    before = dynamodb._batch_execute_statement(batch)
    assert len(parsed) == 20
    parsed.clear()
    monkeypatch.setattr(parsed_statements, "_parse_anew", count)
    parsed_statements._form.cache_clear()
    parsed_statements.install()
    assert dynamodb._batch_execute_statement(batch)[2] == before[2]
    assert len(parsed) == 1
