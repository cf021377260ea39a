-- What a person has allowed at which API: each an API (our own is empty), a space, and a scope.
alter table consents add column grants text[] not null default '{}';
-- Where several APIs stand beside several scopes nobody knows what belongs together: the person is asked again.
update consents set grants = array(select resources[1] || ' ' || scope from unnest(scopes) as scope order by 1)
    where cardinality(resources) = 1;
