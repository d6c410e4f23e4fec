"""The web console of `kalmap serve`: pages about the batches, users and executions of its cloud.

    access.py       who may use it: the cookie, the host, the origin
    server.py       the server, in a thread of `kalmap serve`
    app.py          the addresses, and what is answered where something is wrong
    pages.py        templates, and answers made of them
    batches.py, results.py, executions.py, users.py, uploads.py     the pages

It needs the extra `kalmap[console]`. No Lambda imports any of it. It talks to the local cloud by
the same clients as the commands do.
"""
