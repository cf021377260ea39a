//! The route table's vocabulary: one resource per URI, HEAD beside GET, our own answers to other methods.

use actix_web::{
    FromRequest, Handler, HttpRequest, HttpResponse, Resource, Responder, Route, guard,
    http::{Method, header},
    web::{self, ServiceConfig},
};

use super::PATCH_TYPES;
use crate::error::{ApiError, Code};

/// Collects the resources of the server.
#[derive(Default)]
pub struct Routes {
    texts: Vec<Resource>,
    /// Those with names in their paths, by what comes before the first.
    patterns: Vec<(&'static str, Vec<Resource>)>,
    offered: Vec<(Method, String)>,
}

/// One URI and the methods it offers.
pub struct ResourceBuilder<'a> {
    routes: &'a mut Routes,
    path: &'static str,
    resource: Option<Resource>,
    methods: Vec<Method>,
    without_head: bool,
}

impl Routes {
    /// Begins a resource at `path`.
    pub fn at(&mut self, path: &'static str) -> ResourceBuilder<'_> {
        ResourceBuilder {
            resource: Some(web::resource(match split(path) {
                (text, "") => text,
                (_, pattern) => pattern,
            })),
            routes: self,
            path,
            methods: Vec::new(),
            without_head: false,
        }
    }

    /// Every method and path that is offered, HEAD and OPTIONS left out.
    pub fn offered(&self) -> &[(Method, String)] {
        &self.offered
    }

    /// Hands the resources to actix, which tries them one after another: first those whose path is a mere text to compare, then the
    /// patterns below a text to compare.
    pub fn register(self, config: &mut ServiceConfig) {
        for resource in self.texts {
            config.service(resource);
        }
        for (prefix, resources) in self.patterns {
            let scope = resources
                .into_iter()
                .fold(web::scope(prefix), |scope, resource| {
                    scope.service(resource)
                });
            config.service(scope);
        }
    }

    fn add(&mut self, path: &'static str, resource: Resource) {
        let (prefix, rest) = split(path);
        if rest.is_empty() {
            self.texts.push(resource);
            return;
        }
        match self.patterns.iter_mut().find(|(other, _)| *other == prefix) {
            Some((_, resources)) => resources.push(resource),
            None => self.patterns.push((prefix, vec![resource])),
        }
    }
}

/// Splits a path before the segment with its first name; empty without one.
fn split(path: &str) -> (&str, &str) {
    let first = path.find("/{").unwrap_or(path.len());
    path.split_at(first)
}

impl ResourceBuilder<'_> {
    fn method<F, Args>(mut self, method: Method, route: Route, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.resource = self
            .resource
            .take()
            .map(|resource| resource.route(route.to(handler)));
        self.methods.push(method);
        self
    }

    /// Answers GET, and HEAD with the same headers.
    pub fn get<F, Args>(self, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        let route = web::route().guard(guard::Any(guard::Get()).or(guard::Head()));
        self.method(Method::GET, route, handler)
    }

    /// Answers GET and not HEAD: what browsers do by coming here, nobody does by looking.
    pub fn visit<F, Args>(mut self, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.without_head = true;
        self.method(Method::GET, web::get(), handler)
    }

    /// Answers POST.
    pub fn post<F, Args>(self, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.method(Method::POST, web::post(), handler)
    }

    /// Answers PUT.
    pub fn put<F, Args>(self, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.method(Method::PUT, web::put(), handler)
    }

    /// Answers PATCH.
    pub fn patch<F, Args>(self, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.method(Method::PATCH, web::patch(), handler)
    }

    /// Answers DELETE.
    pub fn delete<F, Args>(self, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.method(Method::DELETE, web::delete(), handler)
    }
}

impl Drop for ResourceBuilder<'_> {
    /// Ends the resource: OPTIONS tells what is offered, any other method is a 405 (RFC 9110 section 15.5.6).
    fn drop(&mut self) {
        let mut names: Vec<_> = self
            .methods
            .iter()
            .map(|method| method.as_str().to_owned())
            .collect();
        if self.methods.contains(&Method::GET) && !self.without_head {
            names.insert(1, "HEAD".to_owned());
        }
        names.push("OPTIONS".to_owned());
        let allow = names.join(", ");
        let Some(resource) = self.resource.take() else {
            return;
        };
        let path = self.path;
        self.routes.offered.extend(
            self.methods
                .drain(..)
                .map(|method| (method, path.to_owned())),
        );
        let patches = allow.contains("PATCH");
        let others = move |request: HttpRequest| other_method(request, allow.clone(), patches);
        let resource = resource.default_service(web::to(others));
        self.routes.add(path, resource);
    }
}

async fn other_method(
    request: HttpRequest,
    allow: String,
    patches: bool,
) -> Result<HttpResponse, ApiError> {
    if request.method() == Method::OPTIONS {
        let mut response = HttpResponse::NoContent();
        response.insert_header((header::ALLOW, allow));
        if patches {
            // RFC 5789 section 3.1.
            response.insert_header(("accept-patch", PATCH_TYPES.join(", ")));
        }
        return Ok(response.finish());
    }
    Err(ApiError::from(Code::MethodNotAllowed).header("allow", allow))
}
