"""`cream-store studio`: the loaded plugins' tables in a browser.

    catalogue.py   what the studio knows of each table
    values.py      between values and their text in a page
    selection.py   which rows a page's address asks for, checked
    reader.py      reads them: capped, limited in time, secrets left in the database
    editor.py      changes rows, through the repositories
    views.py       what a plugin shows on the first page
    charts.py      where a chart's lines and bars go
    gate.py        who may ask: token, host, origin
    app.py         the pages
    server.py      the process around them

Everything but `app.py`, `gate.py` and `server.py` works without Flask.
"""
