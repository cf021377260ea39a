"""Makes a second administrator and prints their access token."""

import os

from api import PASSWORD, call, sign_up_and_in

first = call("POST", "/v1/sessions", {"email": "admin@localhost", "password": os.environ["ADMINISTRATOR_PASSWORD"]})
user, _ = sign_up_and_in()
call("PUT", f"/v1/users/{user['id']}/roles/admin", token=first["access_token"])
print(call("POST", "/v1/sessions", {"email": user["email"], "password": PASSWORD})["access_token"])
