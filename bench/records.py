"""The workloads of records of `run`: one collection with many records of one person."""

import json
import urllib.request

RECORDS = 200_000
SOME = 1_000
DECLARATION = {
    "type_name": "Item",
    "schema": {
        "type": "object", "required": ["title", "price"], "additionalProperties": False,
        "properties": {
            "title": {"type": "string", "maxLength": 200}, "price": {"type": "number", "minimum": 0},
            "status": {"enum": ["open", "paid", "sent"]}, "text": {"type": "string", "maxLength": 4000},
        },
    },
    "indexes": [["owner", "-price"]],
    "rules": {
        "list": "record.owner == auth.sub || 'staff' in auth.roles", "read": "record.owner == auth.sub || 'staff' in auth.roles",
        "create": "auth.sub != null && input.status == 'open'",
    },
}
DOCUMENT = json.dumps({"title": "Ink", "price": 12.5, "status": "open", "text": "x" * 900})


def declare(port, administrator):
    """Declares the collection, which is the first of the server, so its table has number 1."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/collections/items", json.dumps(DECLARATION).encode(),
        {"Content-Type": "application/json", "Authorization": administrator}, method="PUT",
    )
    with urllib.request.urlopen(request) as response:
        assert response.status == 201


def fill(query, directory, owner):
    """Stores the records, and answers the ids of some."""
    query(directory, f"""insert into tollgate_data.c1 (id, owner, data)
        select ('01900000-0000-7000-8000-' || lpad(to_hex(number), 12, '0'))::uuid, '{owner}',
            jsonb_build_object('title', 'Record ' || number, 'price', number % 1000, 'status', 'open', 'text', repeat('x', 900))
        from generate_series(1, {RECORDS}) as number""")
    query(directory, "vacuum analyze")
    return [f"01900000-0000-7000-8000-{number:012x}" for number in range(1, RECORDS, RECORDS // SOME)]


def scripts(directory, ids):
    """Scripts for wrk: one that reads records in turn, one that makes records."""
    (directory / "ids").write_text("".join(one + "\n" for one in ids))
    read = directory / "read.lua"
    read.write_text(
        'local ids = {}\nfor id in io.lines("' + str(directory / "ids") + '") do table.insert(ids, id) end\nlocal next_index = 0\n'
        'function request()\n   next_index = next_index % #ids + 1\n   return wrk.format(nil, wrk.path .. "/" .. ids[next_index])\nend\n'
    )
    create = directory / "create.lua"
    create.write_text(f'wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\nwrk.body = [[{DOCUMENT}]]\n')
    return read, create


def last_page(port, bearer, pages):
    """The path of a page so many pages on."""
    path = "/v1/data/items?order_by=-price"
    cursor = ""
    for _ in range(pages):
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}{cursor}", headers={"Authorization": bearer})
        with urllib.request.urlopen(request) as response:
            cursor = "&cursor=" + json.load(response)["next_cursor"]
    return path + cursor
