//! The tables as diesel sees them; a test compares this file with the migrated database.
#![expect(missing_docs, reason = "the columns are described by the migrations")]

diesel::table! {
    audit_events (id) {
        id -> Uuid,
        at -> Timestamptz,
        action -> Text,
        actor_id -> Nullable<Uuid>,
        subject_id -> Nullable<Uuid>,
        session_id -> Nullable<Uuid>,
        client_id -> Nullable<Text>,
        address -> Nullable<Text>,
        user_agent -> Nullable<Text>,
        request_id -> Nullable<Text>,
        details -> Jsonb,
    }
}

diesel::table! {
    authorization_codes (id) {
        id -> Bytea,
        client_id -> Text,
        user_id -> Uuid,
        page_id -> Uuid,
        redirect_uri -> Text,
        scopes -> Array<Text>,
        challenge -> Text,
        nonce -> Nullable<Text>,
        cnf -> Nullable<Text>,
        resource -> Nullable<Text>,
        claims -> Nullable<Jsonb>,
        auth_time -> Timestamptz,
        acr -> Text,
        amr -> Array<Text>,
        expires_at -> Timestamptz,
        session_id -> Nullable<Uuid>,
    }
}

diesel::table! {
    authorization_requests (id) {
        id -> Bytea,
        client_id -> Text,
        parameters -> Jsonb,
        pushed -> Bool,
        created_at -> Timestamptz,
        expires_at -> Timestamptz,
    }
}

diesel::table! {
    client_changes (id) {
        id -> Int4,
        number -> Int8,
    }
}

diesel::table! {
    channel_entries (position) {
        position -> Int8,
        channel -> Text,
        kind -> Int4,
        is_kept -> Bool,
        data -> Nullable<Text>,
        info -> Nullable<Text>,
        at -> Timestamptz,
        expires_at -> Timestamptz,
    }
}

diesel::table! {
    channel_floors (channel) {
        channel -> Text,
        position -> Int8,
        at -> Timestamptz,
    }
}

diesel::table! {
    channel_replicas (id) {
        id -> Uuid,
        seen_at -> Timestamptz,
    }
}

diesel::table! {
    channel_state (id) {
        id -> Int4,
        position -> Int8,
        floor -> Int8,
        dropped -> Int8,
    }
}

diesel::table! {
    clients (id) {
        id -> Text,
        kind -> Text,
        metadata -> Jsonb,
        secret_hash -> Nullable<Bytea>,
        registration_hash -> Nullable<Bytea>,
        version -> Int8,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    collection_indexes (number) {
        number -> Int8,
        collection -> Text,
        members -> Array<Text>,
        definition -> Text,
        state -> Text,
        detail -> Nullable<Text>,
        created_at -> Timestamptz,
        method -> Text,
    }
}

diesel::table! {
    collection_references (number) {
        number -> Int8,
        collection -> Text,
        member -> Text,
        target -> Text,
        on_delete -> Text,
    }
}

diesel::table! {
    collections (name) {
        name -> Text,
        serial -> Int8,
        type_name -> Text,
        declaration -> Jsonb,
        generation -> Int8,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    consents (user_id, client_id) {
        user_id -> Uuid,
        client_id -> Text,
        scopes -> Array<Text>,
        resources -> Array<Text>,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        grants -> Array<Text>,
    }
}

diesel::table! {
    deleted_roles (name) {
        name -> Text,
        version -> Int8,
    }
}

diesel::table! {
    device_codes (id) {
        id -> Bytea,
        user_code -> Bytea,
        client_id -> Text,
        scopes -> Array<Text>,
        resource -> Nullable<Text>,
        cnf -> Nullable<Text>,
        address -> Nullable<Text>,
        user_agent -> Nullable<Text>,
        created_at -> Timestamptz,
        expires_at -> Timestamptz,
        interval_seconds -> Int4,
        polled_at -> Nullable<Timestamptz>,
        allowed -> Nullable<Bool>,
        user_id -> Nullable<Uuid>,
        page_id -> Nullable<Uuid>,
        auth_time -> Nullable<Timestamptz>,
        acr -> Nullable<Text>,
        amr -> Nullable<Array<Text>>,
        session_id -> Nullable<Uuid>,
    }
}

diesel::table! {
    idempotent_answers (id) {
        id -> Bytea,
        fingerprint -> Bytea,
        location -> Text,
        version -> Int8,
        body -> Text,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    feed (position) {
        position -> Int8,
        at -> Timestamptz,
        collection -> Int8,
        generation -> Int8,
        record_id -> Uuid,
        owner -> Nullable<Uuid>,
        created_at -> Timestamptz,
        old_version -> Nullable<Int8>,
        old_updated_at -> Nullable<Timestamptz>,
        old_data -> Nullable<Jsonb>,
        version -> Int8,
        updated_at -> Nullable<Timestamptz>,
        data -> Nullable<Jsonb>,
        size -> Int4,
        is_tombstone -> Bool,
    }
}

diesel::table! {
    feed_state (id) {
        id -> Int4,
        epoch -> Text,
        position -> Int8,
        floor -> Int8,
        at -> Timestamptz,
    }
}

diesel::table! {
    identities (issuer, subject) {
        issuer -> Text,
        subject -> Text,
        user_id -> Uuid,
        created_at -> Timestamptz,
        last_used_at -> Timestamptz,
    }
}

diesel::table! {
    logout_notices (id) {
        id -> Uuid,
        client_id -> Text,
        session_id -> Uuid,
        user_id -> Uuid,
        attempts -> Int4,
        next_at -> Timestamptz,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    longest_lifetimes (purpose) {
        purpose -> Text,
        seconds -> Int8,
    }
}

diesel::table! {
    outbox (seq) {
        seq -> Int8,
        collection -> Int8,
        generation -> Int8,
        record_id -> Uuid,
        owner -> Nullable<Uuid>,
        created_at -> Timestamptz,
        old_version -> Nullable<Int8>,
        old_updated_at -> Nullable<Timestamptz>,
        old_data -> Nullable<Jsonb>,
        version -> Int8,
        updated_at -> Nullable<Timestamptz>,
        data -> Nullable<Jsonb>,
        size -> Int4,
        is_tombstone -> Bool,
    }
}

diesel::table! {
    presences (channel, client) {
        channel -> Text,
        client -> Uuid,
        replica -> Uuid,
        ticket -> Int8,
        info -> Text,
        is_told -> Bool,
    }
}

diesel::table! {
    presented_once (id) {
        id -> Bytea,
        expires_at -> Timestamptz,
    }
}

diesel::table! {
    revocations (kind, id) {
        kind -> Text,
        id -> Text,
        epoch -> Nullable<Int8>,
        until -> Timestamptz,
        xid -> Int8,
    }
}

diesel::table! {
    roles (name) {
        name -> Text,
        description -> Text,
        scopes -> Array<Text>,
        built_in -> Bool,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        version -> Int8,
    }
}

diesel::table! {
    sessions (id) {
        id -> Uuid,
        user_id -> Uuid,
        client_id -> Text,
        scopes -> Array<Text>,
        #[sql_name = "gen"]
        generation -> Int8,
        rotated_at -> Timestamptz,
        refresh_exp -> Timestamptz,
        absolute_exp -> Timestamptz,
        auth_time -> Timestamptz,
        acr -> Text,
        amr -> Array<Text>,
        user_agent -> Nullable<Text>,
        address -> Nullable<Text>,
        created_at -> Timestamptz,
        last_seen_at -> Timestamptz,
        ended_at -> Nullable<Timestamptz>,
        end_reason -> Nullable<Text>,
        gen_acked -> Int8,
        refresh_kid -> Nullable<Text>,
        external -> Bool,
        rotated_from -> Nullable<Text>,
        reopened_at -> Nullable<Timestamptz>,
        page_hash -> Nullable<Bytea>,
        parent_id -> Nullable<Uuid>,
        cnf -> Nullable<Text>,
        resource -> Nullable<Text>,
        claims -> Nullable<Jsonb>,
    }
}

diesel::table! {
    sign_in_throttle (key) {
        key -> Text,
        failures -> Int4,
        blocked_until -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    signing_keys (kid) {
        kid -> Text,
        purpose -> Text,
        algorithm -> Text,
        audience -> Text,
        state -> Text,
        sealed -> Bytea,
        created_at -> Timestamptz,
        activates_at -> Nullable<Timestamptz>,
        activated_at -> Nullable<Timestamptz>,
        retires_at -> Nullable<Timestamptz>,
        retired_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    tickets (id) {
        id -> Bytea,
        token -> Bytea,
        expires_at -> Timestamptz,
    }
}

diesel::table! {
    upstream_states (id) {
        id -> Bytea,
        upstream -> Text,
        nonce -> Text,
        verifier -> Text,
        browser -> Bytea,
        request -> Nullable<Text>,
        fresh -> Bool,
        created_at -> Timestamptz,
        expires_at -> Timestamptz,
        taken_at -> Nullable<Timestamptz>,
        identity -> Nullable<Jsonb>,
    }
}

diesel::table! {
    user_roles (user_id, role) {
        user_id -> Uuid,
        role -> Text,
        given_at -> Timestamptz,
    }
}

diesel::table! {
    users (id) {
        id -> Uuid,
        email -> Text,
        email_verified -> Bool,
        name -> Nullable<Text>,
        locale -> Nullable<Text>,
        password_hash -> Text,
        disabled -> Bool,
        user_metadata -> Jsonb,
        app_metadata -> Jsonb,
        epoch -> Int8,
        version -> Int8,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::joinable!(collection_indexes -> collections (collection));
diesel::joinable!(consents -> users (user_id));
diesel::joinable!(identities -> users (user_id));
diesel::joinable!(sessions -> users (user_id));
diesel::joinable!(user_roles -> roles (role));
diesel::joinable!(user_roles -> users (user_id));

diesel::allow_tables_to_appear_in_same_query!(
    audit_events,
    authorization_codes,
    authorization_requests,
    channel_entries,
    channel_floors,
    channel_replicas,
    channel_state,
    client_changes,
    clients,
    collection_indexes,
    collections,
    consents,
    device_codes,
    feed,
    feed_state,
    identities,
    logout_notices,
    longest_lifetimes,
    outbox,
    presences,
    presented_once,
    revocations,
    roles,
    sessions,
    sign_in_throttle,
    signing_keys,
    tickets,
    upstream_states,
    user_roles,
    users,
);
