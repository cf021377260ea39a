//! What replicas tell each other over NATS.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{ChannelName, Entry, Kind, entry::Draft};

/// A message.
#[derive(Serialize, Deserialize)]
pub(super) struct Word {
    /// Of the database whose channels are meant.
    pub epoch: String,
    pub said: Said,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Said {
    /// Something for whoever is subscribed.
    Told(Told),
    /// Whom a replica has heard of late.
    Beat { by: Uuid, hears: Vec<Uuid> },
}

#[derive(Serialize, Deserialize)]
pub(super) struct Told {
    channel: ChannelName,
    kind: Kind,
    data: Option<Box<RawValue>>,
    info: Option<Box<RawValue>>,
}

impl Word {
    /// What is to be told, as it is sent; `None` before there is a database whose it is.
    pub fn told(epoch: &str, draft: &Draft) -> Option<Bytes> {
        let json = |text: &Option<String>| text.clone().map(RawValue::from_string).transpose();
        let told = Told {
            channel: draft.channel.clone(),
            kind: draft.kind,
            data: json(&draft.data).ok()?,
            info: json(&draft.info).ok()?,
        };
        Self::sent(epoch, Said::Told(told))
    }

    /// Whom a replica has heard; `None` as above.
    pub fn beat(epoch: &str, by: Uuid, hears: Vec<Uuid>) -> Option<Bytes> {
        Self::sent(epoch, Said::Beat { by, hears })
    }

    fn sent(epoch: &str, said: Said) -> Option<Bytes> {
        let epoch = Some(epoch).filter(|epoch| !epoch.is_empty())?.to_owned();
        serde_json::to_vec(&Self { epoch, said })
            .ok()
            .map(Bytes::from)
    }

    /// Reads one, where it is one of ours.
    pub fn read(sent: &[u8]) -> Option<Self> {
        // Ours are on one line, as what clients are told has to be.
        let is_line = !sent.iter().any(|byte| matches!(byte, b'\n' | b'\r'));
        is_line.then(|| serde_json::from_slice(sent).ok())?
    }
}

impl From<Told> for Entry {
    fn from(told: Told) -> Self {
        let text = |json: Option<Box<RawValue>>| json.map(|json| json.get().to_owned());
        Self {
            // It has no place among what is kept: whoever is there hears it.
            position: i64::MAX,
            channel: told.channel.into(),
            kind: told.kind,
            is_kept: false,
            data: text(told.data),
            info: text(told.info),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_heard_as_it_was() {
        let data = r#"{"b":1.0000000000000000000001,"a":"\u00e9 \n é"}"#;
        let draft = Draft {
            channel: "news:a".parse().unwrap(),
            kind: Kind::Publication,
            data: Some(data.to_owned()),
            info: None,
            age: None,
        };
        assert!(Word::told("", &draft).is_none(), "no database yet");
        let word = Word::read(&Word::told("one", &draft).unwrap()).unwrap();
        assert_eq!(word.epoch, "one");
        let Said::Told(told) = word.said else {
            panic!("it was told");
        };
        let heard = Entry::from(told);
        assert_eq!(heard.channel, "news:a");
        assert_eq!(heard.data.as_deref(), Some(data));
        assert!(!heard.is_kept);
    }

    #[test]
    fn what_others_send_is_not_heard() {
        let told = |members: &str| format!(r#"{{"epoch":"one","said":{{"told":{{{members}}}}}}}"#);
        assert!(
            Word::read(told(r#""channel":"a:b","kind":"publication","data":1"#).as_bytes())
                .is_some()
        );
        for sent in [
            "",
            "null",
            "[]",
            "{}",
            "\u{0}",
            r#"{"epoch":"one","said":{}}"#,
            // What a newer one may know.
            &told(r#""channel":"a:b","kind":"other""#),
            &told(r#""channel":"a b","kind":"publication""#),
            &told(r#""channel":"a:b","kind":"publication","data":{]"#),
            // A line of its own, for clients that read line by line.
            &told("\"channel\":\"a:b\",\"kind\":\"publication\",\"data\":[\n1]"),
        ] {
            assert!(Word::read(sent.as_bytes()).is_none(), "{sent:?}");
        }
    }
}
