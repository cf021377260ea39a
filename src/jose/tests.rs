use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;

use super::{
    compact::{MAX_TOKEN, STEERING},
    samples::Sample,
    *,
};

fn keys(samples: &[&Sample]) -> PublicKeys {
    let jwks: Vec<_> = samples.iter().map(|sample| sample.jwk()).collect();
    PublicKeys::parse(&json!({ "keys": jwks })).unwrap()
}

fn verify_as(token: &str, keys: &PublicKeys) -> Result<Map<String, Value>, JoseError> {
    verify(token, keys, &["JWT", ""])
}

#[test]
fn every_accepted_algorithm_is_verified_and_tampering_is_seen() {
    let samples = [Sample::rsa(), Sample::ec(), Sample::ed()];
    let all = keys(&samples.each_ref());
    for (sample, algorithm) in [
        (0, "RS256"),
        (0, "PS256"),
        (1, "ES256"),
        (2, "EdDSA"),
        (2, "Ed25519"),
    ] {
        let claims = json!({ "sub": "me" });
        let token = samples[sample].token(&json!({ "alg": algorithm, "x5t": "ignored" }), &claims);
        assert_eq!(
            json!(verify_as(&token, &all).unwrap()),
            claims,
            "{algorithm}"
        );

        let (signed, signature) = token.rsplit_once('.').unwrap();
        let (header, _) = signed.split_once('.').unwrap();
        let other_claims = URL_SAFE_NO_PAD.encode(json!({ "sub": "you" }).to_string());
        let other = samples[sample].token(&json!({ "alg": algorithm }), &json!({}));
        let (_, other_signature) = other.rsplit_once('.').unwrap();
        for tampered in [
            format!("{header}.{other_claims}.{signature}"),
            format!("{signed}.{other_signature}"),
            format!("{signed}."),
            format!("{token}AAAA"),
            format!("{token}="),
        ] {
            assert_eq!(
                verify_as(&tampered, &all),
                Err(JoseError::Signature),
                "{algorithm}"
            );
        }
    }
}

#[test]
fn tok_01_tok_02_tok_03_the_key_fixes_the_algorithm() {
    let (rsa, ec, ed) = (Sample::rsa(), Sample::ec(), Sample::ed());
    for name in [
        "none", "None", "NONE", "HS256", "HS384", "RS384", "RS512", "ES384", "rs256", "",
    ] {
        let token = rsa.token(&json!({ "alg": name }), &json!({}));
        assert_eq!(
            verify_as(&token, &keys(&[&rsa])),
            Err(JoseError::Algorithm),
            "{name}"
        );
    }
    for header in [
        json!({}),
        json!({ "alg": null }),
        json!({ "alg": ["RS256"] }),
    ] {
        assert_eq!(
            verify_as(&rsa.token(&header, &json!({})), &keys(&[&rsa])),
            Err(JoseError::Algorithm)
        );
    }
    for (sample, algorithm) in [
        (&rsa, "ES256"),
        (&ec, "EdDSA"),
        (&ec, "RS256"),
        (&ed, "ES256"),
        (&ed, "PS256"),
    ] {
        let token = sample.token(&json!({ "alg": algorithm }), &json!({}));
        assert_eq!(
            verify_as(&token, &keys(&[sample])),
            Err(JoseError::UnknownKey),
            "{algorithm}"
        );
    }
    let mut jwk = rsa.jwk();
    jwk["alg"] = json!("PS256");
    let only_ps256 = PublicKeys::parse(&json!({ "keys": [jwk] })).unwrap();
    let token = |algorithm| rsa.token(&json!({ "alg": algorithm }), &json!({}));
    assert!(verify_as(&token("PS256"), &only_ps256).is_ok());
    assert_eq!(
        verify_as(&token("RS256"), &only_ps256),
        Err(JoseError::UnknownKey)
    );
    // A public key as an HMAC secret, called by a name that is accepted.
    let signed = token("RS256").rsplit_once('.').unwrap().0.to_owned();
    let secret = hmac::Key::new(
        hmac::HMAC_SHA256,
        rsa.jwk()["n"].as_str().unwrap().as_bytes(),
    );
    let forged = URL_SAFE_NO_PAD.encode(hmac::sign(&secret, signed.as_bytes()));
    assert_eq!(
        verify_as(&format!("{signed}.{forged}"), &keys(&[&rsa])),
        Err(JoseError::Signature)
    );
}

#[test]
fn tok_04_tok_05_headers_that_steer_are_refused() {
    let ec = Sample::ec();
    let steering = STEERING.iter().copied().chain(["jwk"]);
    for name in steering {
        for value in [
            json!(null),
            json!([]),
            json!(["exp"]),
            json!("https://example.com"),
            ec.jwk(),
            json!(false),
        ] {
            let token = ec.token(&json!({ "alg": "ES256", name: value }), &json!({}));
            assert_eq!(
                verify_as(&token, &keys(&[&ec])),
                Err(JoseError::Header),
                "{name}"
            );
        }
    }
    for name in ["typ", "kid"] {
        let token = ec.token(&json!({ "alg": "ES256", name: 1 }), &json!({}));
        assert_eq!(
            verify_as(&token, &keys(&[&ec])),
            Err(JoseError::Header),
            "{name}"
        );
    }
}

#[test]
fn tok_10_only_an_expected_type_is_right() {
    let ec = Sample::ec();
    let verified = |header: Value, expected: &[&str]| {
        verify(&ec.token(&header, &json!({})), &keys(&[&ec]), expected).map(|_claims| ())
    };
    let typ = |typ: &str| json!({ "alg": "ES256", "typ": typ });
    for right in ["logout+jwt", "Logout+JWT", "application/logout+jwt"] {
        assert_eq!(
            verified(typ(right), &["x", "logout+jwt"]),
            Ok(()),
            "{right}"
        );
    }
    for wrong in [
        "",
        "JWT",
        "at+jwt",
        "application/",
        "text/logout+jwt",
        "logout+jwt ",
    ] {
        assert_eq!(
            verified(typ(wrong), &["", "logout+jwt"]),
            Err(JoseError::Type),
            "{wrong}"
        );
    }
    let absent = json!({ "alg": "ES256" });
    assert_eq!(verified(absent.clone(), &[""]), Ok(()));
    assert_eq!(verified(absent, &["JWT"]), Err(JoseError::Type));
}

#[test]
fn the_kid_chooses_the_key_and_without_one_each_is_tried() {
    let (mine, other) = (Sample::ec().named("mine"), Sample::ec().named("other"));
    let both = keys(&[&other, &mine]);
    let token = |kid: Option<&str>| match kid {
        Some(kid) => mine.token(&json!({ "alg": "ES256", "kid": kid }), &json!({})),
        None => mine.token(&json!({ "alg": "ES256" }), &json!({})),
    };
    assert!(verify_as(&token(None), &both).is_ok());
    assert!(verify_as(&token(Some("mine")), &both).is_ok());
    assert_eq!(
        verify_as(&token(Some("other")), &both),
        Err(JoseError::Signature)
    );
    assert_eq!(
        verify_as(&token(Some("none")), &both),
        Err(JoseError::UnknownKey)
    );
    assert_eq!(
        verify_as(&token(None), &keys(&[&other])),
        Err(JoseError::Signature)
    );
    assert_eq!(
        verify_as(&token(None), &keys(&[])),
        Err(JoseError::UnknownKey)
    );
}

#[test]
fn tok_12_tok_13_what_is_no_plain_token_is_refused() {
    let ec = Sample::ec();
    let keys = keys(&[&ec]);
    let good = ec.token(&json!({ "alg": "ES256" }), &json!({}));
    let with_claims = |claims: &str| ec.token_of(r#"{"alg":"ES256"}"#, claims);
    for bad in [
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        ".".repeat(100_000),
        format!("{good}.x"),
        format!("x.{good}"),
        format!(" {good}"),
        format!("={good}"),
        ec.token(
            &json!({ "alg": "ES256" }),
            &json!({ "x": "x".repeat(MAX_TOKEN) }),
        ),
        ec.token_of(r#"{"alg":"ES256","alg":"ES256"}"#, "{}"),
        ec.token_of(r#"{"alg":"ES256","x":1,"x":1}"#, "{}"),
        ec.token_of(r#"["ES256"]"#, "{}"),
        ec.token_of("", "{}"),
        with_claims(r#"{"sub":"a","sub":"b"}"#),
        with_claims(r#"{"a":{"b":1,"b":2}}"#),
        with_claims("[]"),
        with_claims("{} {}"),
        with_claims(&good),
    ] {
        assert_eq!(
            verify_as(&bad, &keys),
            Err(JoseError::Malformed),
            "{bad:.80}"
        );
    }
}
