//! Namespaces as they are declared: who may do what on their channels, and what these keep.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::ChannelName;
use crate::{
    collections::{Asker, claims},
    config::NamespaceConfig,
    rules::{Kind, Members, Rule, Vocabulary},
};

/// Steps that a rule may take: it is applied while others wait.
const STEPS: usize = 20_000;

/// What is told to one user alone, by servers; there without being declared.
const OF_USER: &str = "user";
const OWN: &str = "input.name == auth.sub";
const OF_USER_SIZE: u32 = 100;
const OF_USER_AGE: i64 = 86_400;

/// What somebody wants of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// To be told what is published from now on.
    Subscribe,
    /// To tell something.
    Publish,
    /// To see who is subscribed.
    Presence,
    /// To read what was published.
    History,
}

/// All that are declared.
#[derive(Clone, Debug, Default)]
pub struct Namespaces(HashMap<String, Namespace>);

/// One of them.
#[derive(Clone, Debug)]
pub struct Namespace {
    subscribe: Option<Rule>,
    publish: Option<Rule>,
    presence: Option<Rule>,
    history: Option<Rule>,
    /// Publications that a channel keeps; 0: none.
    pub size: u32,
    /// For so many seconds.
    pub age: i64,
    /// Whether subscribers are told who comes and goes.
    pub has_joins: bool,
}

impl Namespaces {
    /// Reads the rules.
    ///
    /// # Errors
    /// Where one is no rule, and why.
    pub fn new(declared: &[NamespaceConfig]) -> anyhow::Result<Self> {
        let mut all = HashMap::new();
        let own = Rule::parse(OWN, &vocabulary(false))
            .map_err(|mistake| anyhow::anyhow!("{OWN}: {mistake}"))?;
        let of_user = Namespace {
            subscribe: Some(own.clone()),
            publish: None,
            presence: Some(own.clone()),
            history: Some(own),
            size: OF_USER_SIZE,
            age: OF_USER_AGE,
            has_joins: false,
        };
        all.insert(OF_USER.to_owned(), of_user);
        for one in declared {
            all.insert(one.name.clone(), Namespace::new(one)?);
        }
        Ok(Self(all))
    }

    /// The namespace of a channel, where it is declared.
    pub fn of(&self, channel: &ChannelName) -> Option<&Namespace> {
        self.0.get(channel.parts().0)
    }
}

impl Namespace {
    fn new(declared: &NamespaceConfig) -> anyhow::Result<Self> {
        let rule = |key: &str, text: &Option<String>| {
            let text = text.as_ref();
            let parsed = text.map(|text| Rule::parse(text, &vocabulary(key == "publish")));
            parsed.transpose().map_err(|mistake| {
                anyhow::anyhow!("realtime.namespace.{key} of {:?}: {mistake}", declared.name)
            })
        };
        let subscribe = rule("subscribe", &declared.subscribe)?;
        anyhow::ensure!(
            !subscribe.as_ref().is_some_and(Rule::uses_now),
            "realtime.namespace.subscribe of {:?}: `now`, which passes while somebody is subscribed",
            declared.name
        );
        Ok(Self {
            subscribe,
            publish: rule("publish", &declared.publish)?,
            presence: rule("presence", &declared.presence)?,
            history: rule("history", &declared.history)?,
            size: declared.history_size,
            age: declared.history_age.seconds(),
            has_joins: declared.join_leave,
        })
    }

    /// Whether the rule allows it; `data` is what is to be published. What takes too long grants nothing.
    pub fn allows(
        &self,
        action: Action,
        asker: &Asker,
        channel: &ChannelName,
        data: Option<&Value>,
    ) -> bool {
        let rule = match action {
            Action::Subscribe => &self.subscribe,
            Action::Publish => &self.publish,
            Action::Presence => &self.presence,
            Action::History => &self.history,
        };
        let Some(rule) = rule else { return false };
        let mut input = json!({"channel": channel, "name": channel.parts().1});
        if let (Value::Object(members), Some(data)) = (&mut input, data) {
            members.insert("data".to_owned(), data.clone());
        }
        rule.allows_within(STEPS, &asker.facts(Some(&input)), None) == Some(true)
    }

    /// Whether its channels keep what is published.
    pub fn is_kept(&self) -> bool {
        self.size > 0
    }

    /// Whether somebody wants to know who is there.
    pub fn has_presence(&self) -> bool {
        self.has_joins || self.presence.is_some()
    }
}

/// What rules can name: the token's claims, the channel, and what is to be published.
fn vocabulary(has_data: bool) -> Vocabulary {
    let names = [("channel", Kind::String), ("name", Kind::String)];
    let data = has_data.then_some(("data", Kind::Any));
    Vocabulary::of_rule(claims()).with_input(Members::closed(names.into_iter().chain(data)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chrono::Utc;

    use super::*;

    fn asker(auth: Value) -> Asker {
        Asker {
            auth: Arc::new(auth),
            is_administrator: false,
            now: Utc::now(),
        }
    }

    #[test]
    fn what_is_for_a_user_is_for_nobody_else() {
        let namespaces = Namespaces::new(&[]).unwrap();
        let ada = "0197a3f0-0000-7000-8000-00000000000a";
        let channel: ChannelName = format!("user:{ada}").parse().unwrap();
        let namespace = namespaces.of(&channel).unwrap();
        for (auth, expected) in [
            (json!({"sub": ada}), true),
            (
                json!({"sub": "0197a3f0-0000-7000-8000-00000000000b"}),
                false,
            ),
            (json!({}), false),
        ] {
            let asker = asker(auth);
            for action in [Action::Subscribe, Action::Presence, Action::History] {
                assert_eq!(namespace.allows(action, &asker, &channel, None), expected);
            }
            assert!(!namespace.allows(Action::Publish, &asker, &channel, Some(&json!(1))));
        }
        assert!(namespaces.of(&"chat:1".parse().unwrap()).is_none());
    }
}
