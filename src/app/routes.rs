//! The route table, on one page.

use std::collections::HashSet;

use crate::{
    audit, channels, clients, collections, docs, feed, http::Routes, keys, oauth, operations,
    pages, realtime, records, roles, sessions, tokens, users,
};

/// The route table.
pub fn routes() -> Routes {
    let mut routes = Routes::default();
    people(&mut routes);
    apps(&mut routes);
    discovery(&mut routes);
    pages(&mut routes);
    upstreams(&mut routes);
    administration(&mut routes);
    data(&mut routes);
    live(&mut routes);
    public(&mut routes);
    routes
}

fn people(routes: &mut Routes) {
    use sessions::account::routes::{replace_password, update_user};
    use sessions::device_routes::{
        delete_other_sessions, delete_session, list_sessions, read_session,
    };
    use sessions::routes::{create_session, create_tokens};
    use tokens::routes::read_current_token;
    use users::routes::{create_user, delete_user, give_role, list_users, read_user, take_role};

    routes.at("/v1/users").get(list_users).post(create_user);
    routes
        .at("/v1/users/{id}")
        .get(read_user)
        .patch(update_user)
        .delete(delete_user);
    routes.at("/v1/users/{id}/password").put(replace_password);
    routes
        .at("/v1/users/{id}/roles/{role}")
        .put(give_role)
        .delete(take_role);
    routes
        .at("/v1/sessions")
        .get(list_sessions)
        .post(create_session)
        .delete(delete_other_sessions);
    routes
        .at("/v1/sessions/{id}")
        .get(read_session)
        .delete(delete_session);
    routes.at("/v1/tokens").post(create_tokens);
    routes.at("/v1/tokens/current").get(read_current_token);
}

fn apps(routes: &mut Routes) {
    use clients::routes::{
        create_client, list_clients, read_client, replace_client, replace_client_secret,
    };
    use oauth::management_routes::{delete_client, delete_consent, list_consents};
    use oauth::registration_routes::{
        delete_registered_client, read_registered_client, register_client,
        replace_registered_client,
    };
    use oauth::routes::{
        create_device_authorization, create_oauth_tokens, introspect_token, post_user_info,
        push_authorization, read_user_info, revoke_token,
    };

    routes
        .at("/v1/clients")
        .get(list_clients)
        .post(create_client);
    routes
        .at("/v1/clients/{id}")
        .get(read_client)
        .put(replace_client)
        .delete(delete_client);
    routes
        .at("/v1/clients/{id}/secret")
        .post(replace_client_secret);
    routes.at("/v1/users/{id}/consents").get(list_consents);
    routes
        .at("/v1/users/{id}/consents/{client_id}")
        .delete(delete_consent);
    routes.at("/oauth/par").post(push_authorization);
    routes.at("/oauth/token").post(create_oauth_tokens);
    routes
        .at("/oauth/device_authorization")
        .post(create_device_authorization);
    routes.at("/oauth/revoke").post(revoke_token);
    routes.at("/oauth/introspect").post(introspect_token);
    routes
        .at("/oauth/userinfo")
        .get(read_user_info)
        .post(post_user_info);
    routes.at("/oauth/register").post(register_client);
    routes
        .at("/oauth/register/{client_id}")
        .get(read_registered_client)
        .put(replace_registered_client)
        .delete(delete_registered_client);
}

fn data(routes: &mut Routes) {
    use collections::routes::{
        declare_collection, delete_collection, list_collections, read_collection,
    };
    use records::aggregate_routes::aggregate_records;
    use records::batch_routes::create_batch;
    use records::history_routes::{
        list_record_versions, read_record_version, restore_record_version,
    };
    use records::list_routes::list_records;
    use records::routes::{
        create_record, delete_record, read_record, replace_record, update_record,
    };

    routes.at("/v1/collections").get(list_collections);
    routes
        .at("/v1/collections/{name}")
        .get(read_collection)
        .put(declare_collection)
        .delete(delete_collection);
    routes.at("/v1/batch").post(create_batch);
    routes
        .at("/v1/data/{collection}")
        .get(list_records)
        .post(create_record);
    routes
        .at("/v1/data/{collection}/aggregate")
        .post(aggregate_records);
    routes
        .at("/v1/data/{collection}/{id}")
        .get(read_record)
        .put(replace_record)
        .patch(update_record)
        .delete(delete_record);
    routes
        .at("/v1/data/{collection}/{id}/versions")
        .get(list_record_versions);
    routes
        .at("/v1/data/{collection}/{id}/versions/{version}")
        .get(read_record_version);
    routes
        .at("/v1/data/{collection}/{id}/versions/{version}/restore")
        .post(restore_record_version);
    routes.at("/v1/changes").get(feed::routes::list_changes);
}

fn live(routes: &mut Routes) {
    use channels::routes::{publish, read_history, read_presence};
    use realtime::{
        echo_routes::open_echo, events_routes::open_events, routes::open_realtime,
        ticket_routes::create_ticket,
    };

    routes.at("/v1/realtime").get(open_realtime);
    routes
        .at("/v1/channels/{channel}/publications")
        .post(publish);
    routes
        .at("/v1/channels/{channel}/presence")
        .get(read_presence);
    routes
        .at("/v1/channels/{channel}/history")
        .get(read_history);
    routes.at("/v1/events").visit(open_events);
    routes.at("/v1/tickets").post(create_ticket);
    routes.at("/v1/realtime/echo").get(open_echo);
}

fn discovery(routes: &mut Routes) {
    use oauth::discovery_routes::{
        read_authorization_server, read_openid_configuration, read_protected_resource,
        read_protected_resource_at,
    };

    routes
        .at("/.well-known/openid-configuration")
        .get(read_openid_configuration);
    routes
        .at("/.well-known/oauth-authorization-server")
        .get(read_authorization_server);
    routes
        .at("/.well-known/oauth-protected-resource")
        .get(read_protected_resource);
    routes
        .at("/.well-known/oauth-protected-resource/{path}")
        .get(read_protected_resource_at);
}

/// What browsers are shown.
fn pages(routes: &mut Routes) {
    use pages::account_routes::{
        change_password, change_profile, end_device, end_other_devices, show_account,
        withdraw_consent,
    };
    use pages::authorize_routes::{authorize, post_authorize};
    use pages::consent_routes::{decide_consent, show_consent};
    use pages::device_routes::{decide_device, enter_device_code, show_device};
    use pages::sign_in_routes::{
        cancel, continue_request, select_account, show_account_choice, show_sign_in, sign_in,
    };
    use pages::sign_out_routes::{logout, post_logout, show_signed_out};
    use pages::sign_up_routes::{show_sign_up, sign_up};

    routes
        .at("/oauth/authorize")
        .visit(authorize)
        .post(post_authorize);
    routes.at("/oauth/sign-in").get(show_sign_in).post(sign_in);
    routes.at("/oauth/sign-in/cancel").post(cancel);
    routes.at("/oauth/continue").visit(continue_request);
    routes.at("/oauth/sign-up").get(show_sign_up).post(sign_up);
    routes
        .at("/oauth/select-account")
        .get(show_account_choice)
        .post(select_account);
    routes
        .at("/oauth/consent")
        .get(show_consent)
        .post(decide_consent);
    routes
        .at("/device")
        .get(show_device)
        .post(enter_device_code);
    routes.at("/device/confirm").post(decide_device);
    routes.at("/oauth/logout").visit(logout).post(post_logout);
    routes.at("/oauth/signed-out").get(show_signed_out);
    routes.at("/oauth/account").get(show_account);
    routes.at("/oauth/account/profile").post(change_profile);
    routes.at("/oauth/account/password").post(change_password);
    routes
        .at("/oauth/account/sessions/{id}/end")
        .post(end_device);
    routes
        .at("/oauth/account/sessions/end-others")
        .post(end_other_devices);
    routes
        .at("/oauth/account/consents/revoke")
        .post(withdraw_consent);
    routes
        .at("/oauth/assets/{file}")
        .get(pages::asset_routes::read_asset);
}

/// Signing in at other providers.
fn upstreams(routes: &mut Routes) {
    use pages::upstream_routes::{
        leave_for_upstream, link_identity, return_from_upstream, show_link,
    };

    routes
        .at("/oauth/sign-in/upstream/{id}")
        .post(leave_for_upstream);
    routes
        .at("/oauth/upstream/{id}/callback")
        .visit(return_from_upstream);
    routes
        .at("/oauth/sign-in/link")
        .get(show_link)
        .post(link_identity);
}

fn administration(routes: &mut Routes) {
    use audit::routes::list_audit_events;
    use keys::routes::{create_key, list_keys, read_key};
    use operations::routes::{read_health, read_metrics, read_readiness, read_version};
    use roles::routes::{create_role, delete_role, list_roles, read_role};
    use sessions::{key_routes::delete_key, role_routes::replace_role};

    routes.at("/v1/roles").get(list_roles).post(create_role);
    routes
        .at("/v1/roles/{name}")
        .get(read_role)
        .put(replace_role)
        .delete(delete_role);
    routes.at("/v1/audit-events").get(list_audit_events);
    routes.at("/v1/keys").get(list_keys).post(create_key);
    routes.at("/v1/keys/{kid}").get(read_key).delete(delete_key);
    routes.at("/healthz").get(read_health);
    routes.at("/readyz").get(read_readiness);
    routes.at("/version").get(read_version);
    routes.at("/metrics").get(read_metrics);
}

fn public(routes: &mut Routes) {
    use docs::routes::{read_asyncapi, read_docs, read_openapi, read_problem, redirect_to_docs};
    use keys::routes::read_jwks;

    routes.at("/.well-known/jwks.json").get(read_jwks);
    routes.at("/problems/{code}").get(read_problem);
    routes.at("/openapi.json").get(read_openapi);
    routes.at("/asyncapi.json").get(read_asyncapi);
    routes.at("/docs").get(redirect_to_docs);
    routes.at("/docs/{file:.*}").get(read_docs);
}

/// The paths of the table, each once, for tests that hold it against the OpenAPI document.
pub fn paths() -> HashSet<String> {
    routes()
        .offered()
        .iter()
        .map(|(_, path)| path.clone())
        .collect()
}
