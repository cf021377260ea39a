//! What holds for every page, whatever it shows.

use std::collections::HashSet;

use super::{
    Language,
    assets::{FORM_POST, STYLE},
    samples::{self, EVIL, FRIENDLY, LONG},
};

/// Every page in every state, language and kind of data.
fn pages() -> Vec<(Language, String, String)> {
    let mut pages = Vec::new();
    for language in Language::ALL {
        for data in [FRIENDLY, LONG, EVIL] {
            let rendered = samples::all(language, data);
            pages.extend(
                rendered
                    .into_iter()
                    .map(|(name, html)| (language, name, html)),
            );
        }
    }
    pages
}

/// The tags of a page as (name, attributes), and a check that each is well-formed.
fn tags(html: &str) -> Vec<(String, Vec<(String, String)>)> {
    let mut tags = Vec::new();
    let mut rest = html;
    while let Some((_, after)) = rest.split_once('<') {
        let (tag, after) = after.split_once('>').expect("a tag ends");
        rest = after;
        if tag.starts_with(['/', '!']) {
            continue;
        }
        let (name, mut text) = tag.split_once(char::is_whitespace).unwrap_or((tag, ""));
        let mut attributes = Vec::new();
        while let trimmed = text.trim_start_matches([' ', '\n', '/'])
            && !trimmed.is_empty()
        {
            let end = trimmed.find(['=', ' ', '\n']).unwrap_or(trimmed.len());
            let (attribute, after) = trimmed.split_at(end);
            assert!(
                attribute
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'),
                "{attribute:?} in {tag}"
            );
            let (value, after) = match after.strip_prefix("=\"") {
                Some(quoted) => quoted.split_once('"').expect("a value ends"),
                None => ("", after),
            };
            attributes.push((attribute.to_owned(), value.to_owned()));
            text = after;
        }
        tags.push((name.to_owned(), attributes));
    }
    tags
}

fn get<'a>(attributes: &'a [(String, String)], name: &str) -> Option<&'a str> {
    attributes
        .iter()
        .find(|(attribute, _)| attribute == name)
        .map(|(_, value)| value.as_str())
}

#[test]
fn nothing_that_comes_in_becomes_markup() {
    for (_, name, html) in pages() {
        let scripts: Vec<_> = html.match_indices("<script").collect();
        let expected = usize::from(name == "form-post");
        assert_eq!(scripts.len(), expected, "{name}");
        for (tag, attributes) in tags(&html) {
            assert!(
                !["img", "style", "iframe", "base"].contains(&tag.as_str()),
                "{name}: {tag}"
            );
            for (attribute, value) in attributes {
                assert!(
                    !attribute.starts_with("on")
                        && attribute != "style"
                        && attribute != "formaction",
                    "{name}: {attribute}"
                );
                assert!(!value.contains(['<', '>']), "{name}: {value}");
            }
        }
    }
}

#[test]
fn every_page_shows_what_it_was_given() {
    for (name, html) in samples::all(Language::En, EVIL) {
        assert!(html.contains("&#60;script&#62;alert(1)"), "{name}");
    }
}

#[test]
fn every_page_has_one_heading_one_main_and_its_language() {
    for (language, name, html) in pages() {
        let tags = tags(&html);
        let count = |wanted: &str| tags.iter().filter(|(tag, _)| tag == wanted).count();
        assert_eq!(
            (count("h1"), count("main"), count("title")),
            (1, 1, 1),
            "{name}"
        );
        let (_, html_attributes) = tags.iter().find(|(tag, _)| tag == "html").unwrap();
        assert_eq!(get(html_attributes, "lang"), Some(language.tag()), "{name}");
        assert!(html.contains(&STYLE.path), "{name}");
        assert_eq!(
            html.contains(&FORM_POST.path),
            name == "form-post",
            "{name}"
        );
    }
}

#[test]
fn every_field_has_a_label_and_every_reference_an_end() {
    for (_, name, html) in pages() {
        let tags = tags(&html);
        let ids: Vec<_> = tags
            .iter()
            .filter_map(|(_, attributes)| get(attributes, "id"))
            .collect();
        let unique: HashSet<_> = ids.iter().collect();
        assert_eq!(unique.len(), ids.len(), "{name}: {ids:?}");
        let labels: HashSet<_> = tags
            .iter()
            .filter_map(|(_, attributes)| get(attributes, "for"))
            .collect();
        for (tag, attributes) in &tags {
            let hidden =
                get(attributes, "type") == Some("hidden") || get(attributes, "hidden").is_some();
            if ["input", "select"].contains(&tag.as_str()) && !hidden {
                assert!(
                    labels.contains(get(attributes, "id").unwrap()),
                    "{name}: {attributes:?}"
                );
                let invalid = get(attributes, "aria-invalid").is_some();
                assert!(
                    !invalid || get(attributes, "aria-describedby").is_some(),
                    "{name}"
                );
            }
            for reference in ["aria-describedby", "aria-labelledby", "for"] {
                for id in get(attributes, reference)
                    .unwrap_or_default()
                    .split_whitespace()
                {
                    assert!(ids.contains(&id), "{name}: {reference}={id}");
                }
            }
        }
    }
}

#[test]
fn every_form_posts_and_carries_a_token() {
    for (_, name, html) in pages() {
        for form in html.split("<form ").skip(1) {
            let (form, _) = form.split_once("</form>").unwrap();
            assert!(form.starts_with("method=\"post\" action=\""), "{name}");
            let token = form.contains("<input type=\"hidden\" name=\"csrf\" value=\"");
            assert_eq!(token, name != "form-post", "{name}");
            assert_eq!(form.matches("<button").count().min(1), 1, "{name}");
        }
    }
}

#[test]
fn an_address_in_a_path_stays_one_segment() {
    let (_, html) = samples::all(Language::En, EVIL)
        .into_iter()
        .find(|(name, _)| name == "sign-in-upstreams")
        .unwrap();
    assert!(html.contains(
        "action=\"/oauth/sign-in/upstream/%22%27%3E%3Cscript%3Ealert%281%29%3C%2Fscript%3E"
    ));
}

#[test]
fn no_page_mixes_its_language() {
    for (name, html) in samples::all(Language::En, FRIENDLY) {
        let hangul = html
            .replace("한국어", "")
            .chars()
            .any(|c| ('가'..='힣').contains(&c));
        assert!(!hangul, "{name}");
    }
}

#[test]
fn every_built_in_scope_has_words() {
    for (name, _) in crate::scope::BUILT_IN.iter().chain(crate::scope::IDENTITY) {
        assert!(super::words::scope(name).is_some(), "{name}");
    }
    assert!(super::words::scope("orders:approve").is_none());
}
