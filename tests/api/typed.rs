//! The OpenAPI document with declared collections: what it says of them, and to whom.

use serde_json::{Value, json};

use crate::harness::{Person, Response, Shop, TestApp, directory, own_things, run};

/// Declares a collection of a name of its own choice.
async fn declare(admin: &Person, name: &str, declaration: &Value) -> Response {
    let path = format!("/v1/collections/{name}");
    admin.put(&path, declaration.clone()).await
}

fn operation_ids(document: &Value) -> Vec<String> {
    let items = document["paths"].as_object().unwrap().values();
    let operations = items.flat_map(|item| item.as_object().unwrap().values());
    operations
        .map(|operation| operation["operationId"].as_str().unwrap().to_owned())
        .collect()
}

/// The methods of a path, as the document of somebody shows them.
fn methods(document: &Value, path: &str) -> Vec<String> {
    let item = document["paths"].get(path).and_then(Value::as_object);
    let mut methods: Vec<_> = item
        .into_iter()
        .flat_map(|item| item.keys().cloned())
        .collect();
    methods.sort();
    methods
}

/// Asserts that every reference leads to something, and that no id of an operation is taken twice.
fn assert_sound(document: &Value) {
    fn references(part: &Value, found: &mut Vec<String>) {
        match part {
            Value::Object(members) => {
                found.extend(
                    members
                        .get("$ref")
                        .and_then(Value::as_str)
                        .map(str::to_owned),
                );
                members
                    .values()
                    .for_each(|member| references(member, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    references(document, &mut found);
    for reference in found {
        let target = document.pointer(reference.trim_start_matches('#'));
        assert!(target.is_some(), "{reference} leads nowhere");
    }
    let mut ids = operation_ids(document);
    let all = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), all, "an operation id is taken twice");
    assert_eq!(document["openapi"], "3.1.0");
}

fn address_book() -> Value {
    json!({
        "type_name": "Contact",
        "schema": {
            "type": "object", "required": ["name", "home"], "additionalProperties": false,
            "properties": {
                "name": {"type": "string", "maxLength": 100, "description": "As they are called."},
                "home": {"$ref": "#/$defs/postal%20address"},
                "work": {"$ref": "#/$defs/postal%20address"},
                "kind": {"enum": ["friend", "foe"]},
                "age": {"type": ["integer", "null"], "minimum": 0},
                "knows": {"type": "array", "items": {"$ref": "#"}},
            },
            "$defs": {
                "postal address": {
                    "type": "object", "required": ["city"],
                    "properties": {"city": {"type": "string"}, "country": {"$ref": "#/$defs/country"}},
                },
                "country": {"type": "string", "pattern": "^[A-Z]{2}$"},
                "nobody refers to this": {"type": "string"},
            },
        },
        "rules": {"list": "true", "read": "true", "create": "auth.sub != null", "update": "record.owner == auth.sub"},
    })
}

#[tokio::test]
async fn a_collection_has_four_types_whose_references_stay_in_the_document() {
    let app = TestApp::own(&[]);
    let admin = app.administrator().await;
    declare(&admin, "contacts", &address_book())
        .await
        .expect(201);
    let document = app
        .person()
        .await
        .get("/openapi.json")
        .await
        .expect(200)
        .json();
    assert_sound(&document);
    let schemas = &document["components"]["schemas"];
    let address = json!({"$ref": "#/components/schemas/ContactPostalAddress"});

    let contact = &schemas["Contact"];
    let required = json!([
        "created_at",
        "home",
        "id",
        "name",
        "owner",
        "updated_at",
        "version"
    ]);
    assert_eq!(contact["required"], required);
    assert_eq!(contact["additionalProperties"], false);
    assert_eq!(contact["properties"]["id"]["format"], "uuid");
    assert_eq!(
        contact["properties"]["owner"]["type"],
        json!(["string", "null"])
    );
    assert_eq!(contact["properties"]["created_at"]["format"], "date-time");
    assert_eq!(contact["properties"]["home"], address);
    let kind = json!({"type": "string", "enum": ["friend", "foe"]});
    assert_eq!(contact["properties"]["kind"], kind);
    let friends = json!({"type": "array", "items": {"$ref": "#/components/schemas/NewContact"}});
    assert_eq!(
        contact["properties"]["knows"], friends,
        "a document in a record is no record"
    );
    assert!(contact.get("allOf").is_none() && contact.get("$defs").is_none());

    let new = &schemas["NewContact"];
    assert_eq!(new["required"], json!(["name", "home"]));
    assert!(new["properties"].get("id").is_none());
    assert_eq!(new["properties"]["home"], address);
    assert_eq!(
        new["properties"]["name"]["description"],
        "As they are called."
    );

    let patch = &schemas["ContactPatch"];
    assert!(patch.get("required").is_none());
    assert_eq!(
        patch["properties"]["name"]["type"], "string",
        "it can't be taken away"
    );
    let part = json!({"$ref": "#/components/schemas/ContactPostalAddressPatch"});
    assert_eq!(patch["properties"]["home"], part);
    let or_null = json!({"anyOf": [part, {"type": "null"}]});
    assert_eq!(patch["properties"]["work"], or_null);
    let kind = json!({"type": ["string", "null"], "enum": ["friend", "foe", null]});
    assert_eq!(patch["properties"]["kind"], kind);
    assert_eq!(
        patch["properties"]["age"]["type"],
        json!(["integer", "null"])
    );
    let part = &schemas["ContactPostalAddressPatch"];
    assert_eq!(part["properties"]["city"], json!({"type": "string"}));
    let country =
        json!({"anyOf": [{"$ref": "#/components/schemas/ContactCountry"}, {"type": "null"}]});
    assert_eq!(part["properties"]["country"], country);

    let list = &schemas["ContactList"];
    let items = json!({"$ref": "#/components/schemas/Contact"});
    assert_eq!(list["properties"]["items"]["items"], items);
    assert_eq!(list["required"], json!(["items", "next_cursor"]));

    let ours = |name: &&String| name.contains("Contact");
    let names: Vec<_> = schemas.as_object().unwrap().keys().filter(ours).collect();
    assert_eq!(
        names,
        [
            "Contact",
            "ContactCountry",
            "ContactList",
            "ContactPatch",
            "ContactPostalAddress",
            "ContactPostalAddressPatch",
            "NewContact",
        ]
    );
}

#[tokio::test]
async fn its_operations_have_everything_that_those_of_any_collection_have() {
    let app = TestApp::own(&[]);
    let admin = app.administrator().await;
    let mut declaration = address_book();
    declaration["require_precondition"] = json!(true);
    declare(&admin, "contacts", &declaration).await.expect(201);
    let document = app
        .person()
        .await
        .get("/openapi.json")
        .await
        .expect(200)
        .json();
    let (list, item) = ("/v1/data/contacts", "/v1/data/contacts/{id}");
    assert_eq!(methods(&document, list), ["get", "post"]);
    // There is no rule for deleting.
    assert_eq!(methods(&document, item), ["get", "patch", "put"]);
    let ids = operation_ids(&document);
    for id in [
        "list_contacts",
        "create_contact",
        "read_contact",
        "replace_contact",
        "update_contact",
    ] {
        assert!(ids.iter().any(|one| one == id), "{id}");
    }
    let any = |path: &str| &document["paths"][path];
    let names = |operation: &Value| -> Vec<String> {
        let parameters = operation["parameters"].as_array().unwrap().iter();
        let names = parameters.map(|one| one["name"].as_str().unwrap().to_owned());
        names
            .filter(|name| name != "collection" && name != "fields")
            .collect()
    };
    for (typed, template) in [
        (any(list), any("/v1/data/{collection}")),
        (any(item), any("/v1/data/{collection}/{id}")),
    ] {
        for (method, operation) in typed.as_object().unwrap() {
            let other = &template[method];
            assert_eq!(names(operation), names(other), "{method}");
            let (answers, others) = (&operation["responses"], &other["responses"]);
            for (status, other) in others.as_object().unwrap() {
                assert_eq!(
                    answers[status]["headers"], other["headers"],
                    "{method} {status}"
                );
                assert_eq!(answers[status]["description"], other["description"]);
            }
            assert_eq!(operation["tags"], json!(["contacts"]));
        }
    }
    let reference = |pointer: &str| {
        let schema = any(item)
            .pointer(pointer)
            .or(any(list).pointer(pointer))
            .unwrap();
        schema["schema"]["$ref"]
            .as_str()
            .unwrap()
            .rsplit_once('/')
            .unwrap()
            .1
    };
    assert_eq!(
        reference("/get/responses/200/content/application~1json"),
        "Contact"
    );
    assert_eq!(
        reference("/patch/requestBody/content/application~1merge-patch+json"),
        "ContactPatch"
    );
    assert_eq!(
        reference("/put/requestBody/content/application~1json"),
        "NewContact"
    );
    assert_eq!(
        reference("/patch/responses/4XX/content/application~1problem+json"),
        "Problem"
    );
    assert_eq!(
        reference("/post/responses/201/content/application~1json"),
        "Contact"
    );
    let required = |method: &str| {
        let parameters = any(item)[method]["parameters"].as_array().unwrap().iter();
        parameters
            .filter(|one| one["name"] == "If-Match" && one["required"] == true)
            .count()
    };
    assert_eq!((required("patch"), required("put")), (1, 0));
    let (open, closed) = (
        &any(list)["get"]["security"],
        &any(list)["post"]["security"],
    );
    assert_eq!(*open, json!([{}, {"bearer": ["records:read"]}]));
    assert_eq!(
        *closed,
        json!([{"bearer": ["records:write"]}]),
        "visitors can't"
    );
}

#[tokio::test]
async fn an_example_fits_its_schema_or_is_not_there() {
    let app = TestApp::own(&[]);
    let admin = app.administrator().await;
    let schemas = [
        ("one", own_things("One")),
        ("two", address_book()),
        (
            "three",
            json!({"type_name": "Three", "schema": {"type": "object", "required": ["code"], "properties": {
            "code": {"type": "string", "pattern": "^[0-9]{3}$"}}}}),
        ),
        (
            "four",
            json!({"type_name": "Four", "schema": {"type": "object", "required": ["code"], "properties": {
            "code": {"type": "string", "pattern": "^[0-9]{3}$", "examples": ["007"]},
            "level": {"type": "integer", "exclusiveMinimum": 7, "multipleOf": 5}}}}),
        ),
    ];
    for (name, declaration) in &schemas {
        declare(&admin, name, declaration).await.expect(201);
        let mut anyone = declaration.clone();
        anyone["rules"] = json!({"create": "true", "read": "true"});
        declare(&admin, name, &anyone).await.expect(200);
    }
    let document = app.get("/openapi.json").await.expect(200).json();
    let examples: Vec<_> = schemas
        .iter()
        .map(|(name, declaration)| {
            let new = format!("New{}", declaration["type_name"].as_str().unwrap());
            (
                *name,
                document["components"]["schemas"][new]
                    .get("example")
                    .cloned(),
            )
        })
        .collect();
    let shown: Vec<_> = examples
        .iter()
        .filter(|(_, example)| example.is_some())
        .map(|one| one.0)
        .collect();
    assert_eq!(shown, ["one", "two", "four"], "of three nothing is known");
    for (name, example) in examples {
        if let Some(example) = example {
            app.post(&format!("/v1/data/{name}"), example)
                .await
                .expect(201);
        }
    }
}

#[tokio::test]
async fn everybody_sees_what_they_may_use() {
    let app = TestApp::own(&[]);
    let admin = app.administrator().await;
    let with = |type_name: &str, rules: Value| {
        let mut declaration = own_things(type_name);
        declaration["rules"] = rules;
        declaration
    };
    for (name, declaration) in [
        (
            "products",
            with(
                "Product",
                json!({"list": "true", "read": "true", "create": "'staff' in auth.roles",
            "update": "'staff' in auth.roles", "delete": "'staff' in auth.roles"}),
            ),
        ),
        ("orders", own_things("Order")),
        ("secrets", with("Secret", json!({}))),
        (
            "offers",
            with(
                "Offer",
                json!({"list": "record.price > 3 && record.due > now", "read": "auth.sub == null",
            "create": "auth.sub == null && input.price > 3", "delete": "true"}),
            ),
        ),
        (
            "plans",
            with(
                "Plan",
                json!({"list": "auth.plan == 'pro'", "update": "true"}),
            ),
        ),
    ] {
        declare(&admin, name, &declaration).await.expect(201);
    }
    let role = json!({"name": "staff", "scopes": ["records:read", "records:write"]});
    admin.post("/v1/roles", role).await.expect(201);
    let ada = app.person().await;
    let path = format!("/v1/users/{}/roles/staff", ada.id());
    let bob = app.person().await;
    admin.put(&path, Value::Null).await.expect(204);
    let ada = ada.another_device().await;
    let reader = app.user("records:read").await;
    let nobody = app.user("nothing:at-all").await;

    let all = ["delete", "get", "patch", "put"].as_slice();
    // Of each collection the methods of its list and of a record.
    let mut seen = Vec::new();
    for (who, answer) in [
        ("visitor", app.get("/openapi.json").await),
        ("user", bob.get("/openapi.json").await),
        ("staff", ada.get("/openapi.json").await),
        ("admin", admin.get("/openapi.json").await),
        ("reader", reader.get("/openapi.json").await),
        ("nobody", nobody.get("/openapi.json").await),
    ] {
        let answer = answer.expect(200);
        assert!(
            answer.varies_by("authorization") && answer.varies_by("cookie"),
            "{who}"
        );
        assert_eq!(answer.header("cache-control"), "private, no-cache");
        let document = answer.json();
        assert_sound(&document);
        for (name, type_name) in [
            ("products", "Product"),
            ("orders", "Order"),
            ("secrets", "Secret"),
            ("offers", "Offer"),
            ("plans", "Plan"),
        ] {
            let list = methods(&document, &format!("/v1/data/{name}"));
            let item = methods(&document, &format!("/v1/data/{name}/{{id}}"));
            let tags = document["tags"].as_array().unwrap();
            let is_any = !list.is_empty() || !item.is_empty();
            assert_eq!(
                tags.iter().any(|tag| tag["name"] == name),
                is_any,
                "{who} {name}"
            );
            let schemas = &document["components"]["schemas"];
            assert_eq!(schemas.get(type_name).is_some(), is_any, "{who} {name}");
            if is_any {
                seen.push((who, name, list.join(" "), item.join(" ")));
            }
        }
        // What every server has is shown to everybody.
        assert_eq!(methods(&document, "/v1/users"), ["get", "post"]);
        assert_eq!(methods(&document, "/v1/data/{collection}/{id}"), all);
    }
    let expected = [
        ("visitor", "products", "get", "get"),
        ("visitor", "offers", "get post", "delete get put"),
        ("user", "products", "get", "get"),
        ("user", "orders", "get post", "delete get patch put"),
        ("user", "offers", "get", ""),
        ("staff", "products", "get post", "delete get patch put"),
        ("staff", "orders", "get post", "delete get patch put"),
        ("staff", "offers", "get", ""),
        // Where there is a rule, it holds for administrators as for everybody; where there is none, it is theirs alone.
        ("admin", "products", "get", "get"),
        ("admin", "orders", "get post", "delete get patch put"),
        ("admin", "secrets", "get post", "delete get patch put"),
        ("admin", "offers", "get", ""),
        ("admin", "plans", "post", "delete get patch put"),
        ("reader", "products", "get", "get"),
        ("reader", "orders", "get", "get"),
        ("reader", "offers", "get", ""),
    ];
    let seen: Vec<_> = seen
        .iter()
        .map(|(who, name, list, item)| (*who, *name, list.as_str(), item.as_str()))
        .collect();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_bad_token_gets_no_document() {
    let app = TestApp::shared();
    let request = app
        .request("GET", "/openapi.json")
        .bearer_auth("stale.token.here");
    app.send(request).await.expect_problem(401, "invalid-token");
}

#[tokio::test]
async fn every_replica_shows_a_declaration_at_once() {
    let app = TestApp::own(&[]);
    let other = app.replica(&[]).unwrap();
    let admin = app.administrator().await;
    let ada = app.person().await;
    let read = || async {
        let token = ada.access_token();
        let answer = other
            .send(other.request("GET", "/openapi.json").bearer_auth(token))
            .await;
        answer.expect(200)
    };
    let before = read().await;
    assert_eq!(methods(&before.json(), "/v1/data/orders"), [""; 0]);
    declare(&admin, "orders", &own_things("Order"))
        .await
        .expect(201);
    let declared = read().await;
    assert_eq!(
        methods(&declared.json(), "/v1/data/orders"),
        ["get", "post"]
    );
    assert_ne!(before.header("etag"), declared.header("etag"));
    let known = other
        .request("GET", "/openapi.json")
        .bearer_auth(ada.access_token())
        .header("if-none-match", declared.header("etag"));
    let unchanged = other.send(known).await.expect(304);
    assert!(unchanged.varies_by("authorization"));

    let mut declaration = own_things("Purchase");
    declaration["schema"]["properties"]["note"] = json!({"type": "string"});
    declaration["rules"]["list"] = json!("'staff' in auth.roles");
    declare(&admin, "orders", &declaration).await.expect(200);
    let changed = read().await.json();
    assert_eq!(methods(&changed, "/v1/data/orders"), ["post"]);
    assert!(changed["components"]["schemas"].get("Order").is_none());
    let note = json!({"type": "string"});
    assert_eq!(
        changed["components"]["schemas"]["NewPurchase"]["properties"]["note"],
        note
    );
    admin
        .delete("/v1/collections/orders?confirm=orders")
        .await
        .expect(204);
    assert_eq!(read().await.text(), before.text());
}

#[tokio::test]
async fn whatever_a_schema_may_be_the_document_holds_together() {
    let app = TestApp::own(&[]);
    let admin = app.administrator().await;
    let rules = json!({"list": "true", "read": "true", "create": "true", "update": "true", "delete": "true"});
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://example.com/tree",
        "$comment": "for the validator alone",
        "type": "object",
        "required": ["kind", "a/b", "id"],
        "properties": {
            "$ref": {"type": "string"},
            "$defs": {"type": "integer"},
            "properties": {"type": "boolean"},
            "a/b": {"$ref": "#/$defs/a~1b"},
            "~": {"$ref": "#/properties/$ref"},
            "percent": {"$ref": "#/$defs/some%20name"},
            "anything": true,
            "nothing": false,
            "tree": {"$ref": "#/$defs/node"},
            "here": {"$ref": "#place"},
            "self": {"$ref": "#"},
            "pair": {"type": "array", "prefixItems": [true, {"$ref": "#/$defs/node"}], "items": false},
            "embedded": {"$id": "https://example.com/other", "$ref": "#/$defs/x", "$defs": {"x": {"type": "string"}}},
            "one": {"const": 1},
            "shape": {"oneOf": [{"$ref": "#/$defs/node"}, {"type": "string"}]},
            "data": {"const": {"$ref": "#/components/schemas/User", "x-y": 1}},
            "shown": {"type": "object", "default": {"$ref": "#/$defs/node"}, "examples": [{"x-y": 1}]},
            "mixed": {"enum": [1, "two", null]},
            "many": {"allOf": [{"$ref": "#/$defs/node"}, {"required": ["value"]}]},
        },
        "patternProperties": {"^n_": {"type": "number"}},
        "oneOf": [
            {"properties": {"kind": {"const": "leaf"}, "weight": {"type": "number"}}, "required": ["weight"]},
            {"properties": {"kind": {"const": "twig"}, "weight": {"type": "string"}, "length": {"type": "number"}}},
        ],
        "$defs": {
            "a/b": {"type": "object", "properties": {"x": {"type": "string", "nullable": true, "readOnly": true}}},
            "some name": {"$ref": "#/$defs/a~1b"},
            "some-name": {"type": "string"},
            "node": {"type": "object", "properties": {
                "value": {"type": "string"}, "next": {"$ref": "#/$defs/node"}, "all": {"type": "array", "items": {"$ref": "#/$defs/node"}},
                "other": {"$ref": "#/$defs/some-name"}}},
            "anchored": {"$anchor": "place", "type": "string", "format": "uuid"},
            "Patch": {"type": "string"},
        },
    });
    let mut declaration = json!({"type_name": "Tree", "schema": schema, "rules": rules});
    // Nobody could make a record with a member that the server keeps; the document has to stand it all the same.
    declare(&admin, "trees", &declaration).await.expect(201);
    declaration["schema"]["properties"]["text"] = json!({"$ref": "#/$defs/Patch"});
    declare(&admin, "trees", &declaration).await.expect(200);
    declare(
        &admin,
        "clients",
        &json!({"type_name": "Openapi", "schema": {"type": "object"}, "rules": rules}),
    )
    .await
    .expect(201);
    let document = app.get("/openapi.json").await.expect(200).json();
    assert_sound(&document);

    let schemas = &document["components"]["schemas"];
    let (tree, new, patch) = (&schemas["Tree"], &schemas["NewTree"], &schemas["TreePatch"]);
    let properties = &tree["properties"];
    assert_eq!(
        properties["$ref"],
        json!({"type": "string"}),
        "a member that is called so"
    );
    let ab = json!({"$ref": "#/components/schemas/TreeAB"});
    assert_eq!(
        (&properties["a/b"], &properties["percent"]),
        (&ab, &ab),
        "one is the other"
    );
    assert_eq!(properties["~"]["$ref"], "#/components/schemas/TreeRef");
    assert_eq!(
        (&properties["anything"], &properties["nothing"]),
        (&json!({}), &json!({"not": {}}))
    );
    assert_eq!(properties["self"]["$ref"], "#/components/schemas/NewTree");
    assert_eq!(
        properties["here"]["$ref"],
        "#/components/schemas/TreeAnchored"
    );
    assert_eq!(properties["embedded"], json!({}));
    assert_eq!(properties["one"], json!({"type": "integer", "const": 1}));
    assert_eq!(
        properties["data"],
        json!({"type": "object"}),
        "no reference"
    );
    assert_eq!(
        properties["shown"],
        json!({"type": "object", "examples": [{"x-y": 1}]}),
        "data stays"
    );
    let mixed = json!({"type": ["integer", "string", "null"]});
    assert_eq!(properties["mixed"], mixed, "generators know no such enums");
    let either = json!({"anyOf": [{"type": "number"}, {"type": "string"}]});
    assert_eq!(properties["weight"], either, "as the alternatives have it");
    assert!(tree.get("oneOf").is_none() && tree.get("additionalProperties").is_none());
    assert_eq!(
        schemas["TreeAB"],
        json!({"type": "object", "properties": {"x": {"type": "string"}}})
    );
    let text = json!({"$ref": "#/components/schemas/TreePatch2"});
    assert_eq!(properties["text"], text, "the other name is taken");
    assert!(new["oneOf"].is_array() && new.get("$id").is_none() && new.get("$schema").is_none());
    let nodes = &schemas["TreeNodePatch"]["properties"];
    let next = json!({"anyOf": [{"$ref": "#/components/schemas/TreeNodePatch"}, {"type": "null"}]});
    assert_eq!(nodes["next"], next);
    assert_eq!(
        nodes["all"]["items"]["$ref"], "#/components/schemas/TreeNode",
        "a list is replaced as a whole"
    );
    assert_eq!(
        patch["properties"]["shape"]["anyOf"][0]["$ref"],
        "#/components/schemas/TreeNodePatch"
    );
    assert_eq!(
        patch["properties"]["a/b"]["$ref"],
        "#/components/schemas/TreeABPatch"
    );

    // Ids of operations that the API has are left to it.
    let clients = &document["paths"]["/v1/data/clients"];
    assert_eq!(clients["get"]["operationId"], "list_clients_records");
    assert_eq!(
        document["paths"]["/v1/data/clients/{id}"]["get"]["operationId"],
        "read_openapi_record"
    );
}

#[tokio::test]
async fn a_type_is_not_called_as_one_that_is_there() {
    let app = TestApp::shared();
    let shop = Shop::open(&app, |_| {}).await;
    let mut declaration = shop.declaration().await;
    // Ours, one that would be made of it, and one that differs by its capitals.
    for name in [
        "User",
        "Problem",
        "Record",
        "JsonPatch",
        "Json",
        "USER",
        "Key",
    ] {
        declaration["type_name"] = json!(name);
        let problem = shop
            .declare(&declaration)
            .await
            .expect_problem(422, "validation-failed");
        assert_eq!(problem.at("/errors/0/pointer"), "/type_name", "{name}");
        assert_eq!(problem.at("/errors/0/code"), "reserved");
    }
    let number = uuid::Uuid::now_v7().simple().to_string();
    let type_name = format!("Thing{number}");
    declaration["type_name"] = json!(type_name);
    shop.declare(&declaration).await.expect(200);
    let other = Shop::open(&app, |_| {}).await;
    for taken in [
        format!("New{type_name}"),
        format!("{type_name}Patch"),
        format!("{type_name}List"),
        format!("THING{number}"),
    ] {
        declaration["type_name"] = json!(taken);
        let refused = other.declare(&declaration).await;
        refused.expect_problem(409, "type-name-taken");
    }
    declaration["type_name"] = json!(format!("{type_name}Item"));
    other.declare(&declaration).await.expect(200);
}

#[test]
fn the_reserved_names_are_those_of_the_document() {
    let document = tollgate::docs::openapi().unwrap();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let names: Vec<_> = schemas.keys().filter(|name| !name.contains('_')).collect();
    assert_eq!(names, tollgate::collections::OURS);
}

#[test]
fn the_command_line_prints_what_a_role_sees() {
    let directory = directory();
    let database = crate::harness::create_database();
    let environment = [("DATABASE_URL", database.as_str())];
    let tollgate = |arguments: &[&str]| run(directory.path(), &environment, arguments, "");
    let text = |arguments: &[&str]| {
        let done = tollgate(arguments);
        assert!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
        String::from_utf8(done.stdout).unwrap()
    };
    let mut declaration = own_things("Order");
    declaration["rules"]["create"] = json!("'staff' in auth.roles && auth.plan == 'pro'");
    let file = directory.path().join("orders.json");
    std::fs::write(&file, declaration.to_string()).unwrap();
    text(&["collection", "apply", "orders.json"]);
    text(&["role", "set", "staff", "--scope", "records:read"]);
    let list = |role: &str| {
        let document: Value = serde_json::from_str(&text(&["openapi", "--as", role])).unwrap();
        assert_sound(&document);
        methods(&document, "/v1/data/orders")
    };
    assert_eq!(list("anonymous"), [""; 0]);
    assert_eq!(list("user"), ["get"]);
    // Of other claims nothing is known, so they may be there.
    assert_eq!(list("staff"), ["get", "post"]);
    assert!(!text(&["openapi"]).contains("/v1/data/orders"));
    let refused = tollgate(&["openapi", "--as", "nobody"]);
    assert!(!refused.status.success());
    let printed = text(&["openapi", "--as", "user"]);
    std::fs::write(directory.path().join("user.json"), printed).unwrap();
    text(&["openapi", "--as", "user", "--check", "user.json"]);
    assert!(
        !tollgate(&["openapi", "--check", "user.json"])
            .status
            .success()
    );
}
