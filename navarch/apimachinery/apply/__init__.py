"""Server-side apply: who manages which fields of an object (KEP-555), as structured-merge-diff v6 decides it.

`fields` has sets of fields and their algebra, `structure` takes values apart by their schema, `managers` says what a write does
to everybody's sets, `lastapplied` lets objects over from client-side apply. All of it works on plain data and knows no kind.
"""
