"""The names of the files in a directory of results."""

#: What a batch did, as one object.
SUMMARY = "summary.json"
#: Lines of JSON. The results themselves have the format that the user names.
OTHERS = ("unreadable.jsonl", "rejected.jsonl", "failed.jsonl", "revisions.jsonl")
