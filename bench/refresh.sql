-- The least that refreshing must write, for one of the first sessions.
update sessions set gen = gen + 1, rotated_at = date_trunc('second', clock_timestamp()),
    refresh_exp = least(absolute_exp, date_trunc('second', clock_timestamp()) + interval '30 days'),
    last_seen_at = clock_timestamp()
where id = (:ids::uuid[])[:client_id + 1] and gen >= 0 and ended_at is null and refresh_exp > clock_timestamp()
returning id, user_id, client_id, scopes, gen, rotated_at, refresh_exp, auth_time, acr, amr;
