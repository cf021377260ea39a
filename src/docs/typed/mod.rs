//! The document as somebody sees it: the fixed part, and of each declared collection what they may use.

mod example;
mod members;
mod names;
mod patch;
mod paths;
mod references;
mod section;
mod shapes;
mod view;

use std::{
    cell::LazyCell,
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use serde::Serialize;
use serde_json::Value;
use utoipa::openapi::{
    Info, OpenApi, OpenApiVersion, Paths, RefOr, Schema, Server, Tag, security::SecurityScheme,
    tag::TagBuilder,
};

pub use view::Viewer;

use crate::{collections::Collection, error::ApiError};
use section::Section;
use view::View;

/// Documents that are kept: so many kinds of people differ in what they may use.
const MOST_KEPT: usize = 16;

/// The documents that this replica has made; cheap to clone.
#[derive(Clone)]
pub struct Documents(Arc<Inner>);

struct Inner {
    /// Made anew whenever there is something to make of it: it takes megabytes.
    fixed: fn() -> OpenApi,
    kept: Mutex<Kept>,
}

/// What was made of the declarations as they were last.
#[derive(Default)]
struct Kept {
    generations: Vec<i64>,
    sections: Arc<Vec<Section>>,
    texts: HashMap<Vec<View>, Arc<str>>,
}

impl Documents {
    /// Documents with this fixed part.
    pub(super) fn new(fixed: fn() -> OpenApi) -> Self {
        Self(Arc::new(Inner {
            fixed,
            kept: Mutex::default(),
        }))
    }

    /// The document as somebody sees it while these are all the collections.
    ///
    /// # Errors
    /// None that happens.
    pub fn text(
        &self,
        collections: Vec<Arc<Collection>>,
        viewer: &Viewer,
    ) -> Result<Arc<str>, ApiError> {
        let fixed = LazyCell::new(self.0.fixed);
        let sections = self.sections(&fixed, collections);
        let views: Vec<_> = sections
            .iter()
            .map(|section| View::of(viewer, &section.collection))
            .collect();
        if let Some(text) = self.kept(&sections, |kept| kept.texts.get(&views).cloned()) {
            return Ok(text);
        }
        let text = render(&fixed, &sections, &views).map_err(ApiError::internal)?;
        let text = Arc::from(text + "\n");
        self.kept(&sections, |kept| {
            if kept.texts.len() >= MOST_KEPT {
                kept.texts.clear();
            }
            kept.texts.insert(views, Arc::clone(&text));
            Some(())
        });
        Ok(text)
    }

    fn sections(
        &self,
        fixed: &LazyCell<OpenApi>,
        collections: Vec<Arc<Collection>>,
    ) -> Arc<Vec<Section>> {
        let generations = || collections.iter().map(|collection| collection.generation);
        let kept = self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if generations().eq(kept.generations.iter().copied()) {
            return Arc::clone(&kept.sections);
        }
        drop(kept);
        let generations = generations().collect();
        let sections = Arc::new(Section::all(fixed, collections));
        let mut kept = self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
        *kept = Kept {
            generations,
            sections: Arc::clone(&sections),
            texts: HashMap::new(),
        };
        sections
    }

    /// Works with what is kept, as long as that is made of these sections.
    fn kept<T>(
        &self,
        sections: &Arc<Vec<Section>>,
        work: impl FnOnce(&mut Kept) -> Option<T>,
    ) -> Option<T> {
        let mut kept = self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(&kept.sections, sections) {
            work(&mut kept)
        } else {
            None
        }
    }
}

/// A document whose schemas may be any that JSON Schema knows.
#[derive(Serialize)]
struct Shown<'a> {
    openapi: &'a OpenApiVersion,
    info: &'a Info,
    servers: &'a Option<Vec<Server>>,
    paths: Paths,
    components: Components<'a>,
    tags: Vec<Tag>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Components<'a> {
    schemas: BTreeMap<&'a str, Component<'a>>,
    security_schemes: BTreeMap<&'a str, &'a RefOr<SecurityScheme>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Component<'a> {
    Fixed(&'a RefOr<Schema>),
    Declared(&'a Value),
}

/// Writes the fixed part and what is shown of each section.
fn render(fixed: &OpenApi, sections: &[Section], views: &[View]) -> serde_json::Result<String> {
    let mut paths = fixed.paths.clone();
    let mut tags = fixed.tags.clone().unwrap_or_default();
    let parts = fixed.components.as_ref();
    let schemas = parts.into_iter().flat_map(|parts| &parts.schemas);
    let mut schemas: BTreeMap<_, _> = schemas
        .map(|(name, schema)| (name.as_str(), Component::Fixed(schema)))
        .collect();
    let schemes = parts.into_iter().flat_map(|parts| &parts.security_schemes);
    for (section, view) in sections.iter().zip(views) {
        if view.is_empty() {
            continue;
        }
        paths::add(&mut paths, section, view);
        let declared = section.schemas_for(view).into_iter();
        schemas.extend(declared.map(|(name, schema)| (name, Component::Declared(schema))));
        let name = &section.collection.name;
        if !tags.iter().any(|tag| tag.name == *name) {
            let description = format!("Records of type {}", section.types.record);
            let tag = TagBuilder::new().name(name).description(Some(description));
            tags.push(tag.build());
        }
    }
    serde_json::to_string_pretty(&Shown {
        openapi: &fixed.openapi,
        info: &fixed.info,
        servers: &fixed.servers,
        paths,
        components: Components {
            schemas,
            security_schemes: schemes
                .map(|(name, scheme)| (name.as_str(), scheme))
                .collect(),
        },
        tags,
    })
}
