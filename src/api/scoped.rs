//! Routes of the server API, each with the scope that its caller needs: one without a scope does not compile.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Request};
use axum::handler::Handler;
use axum::http::Method;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::{self, MethodFilter, MethodRouter};

use super::access::Caller;
use super::answer::Refusal;
use super::console_audit::ConsoleWrite;
use super::state::Api;
use crate::keys::Scope;
use rosterd_engine::model::{Reason, RequestError};

/// The handlers of a path, and the scope that each needs; `None` if any key will do.
pub(super) struct ScopedRoute {
    pub(super) methods: MethodRouter<Arc<Api>>,
    pub(super) scopes: Vec<(Method, Option<Scope>)>,
}

/// Begins a route with what answers GET to callers with a scope.
pub(super) fn get<H: Handler<T, Arc<Api>>, T: 'static>(scope: Scope, handler: H) -> ScopedRoute {
    ScopedRoute::none().on(Method::GET, MethodFilter::GET, Some(scope), handler)
}

/// Begins a route with what answers GET to every caller that has a key.
pub(super) fn get_with_any_key<H: Handler<T, Arc<Api>>, T: 'static>(handler: H) -> ScopedRoute {
    ScopedRoute::none().on(Method::GET, MethodFilter::GET, None, handler)
}

/// Begins a route with what answers PUT to callers with a scope.
pub(super) fn put<H: Handler<T, Arc<Api>>, T: 'static>(scope: Scope, handler: H) -> ScopedRoute {
    ScopedRoute::none().on(Method::PUT, MethodFilter::PUT, Some(scope), handler)
}

/// Begins a route with what answers POST to callers with a scope.
pub(super) fn post<H: Handler<T, Arc<Api>>, T: 'static>(scope: Scope, handler: H) -> ScopedRoute {
    ScopedRoute::none().on(Method::POST, MethodFilter::POST, Some(scope), handler)
}

/// Begins a route with what answers DELETE to callers with a scope.
pub(super) fn delete<H: Handler<T, Arc<Api>>, T: 'static>(scope: Scope, handler: H) -> ScopedRoute {
    ScopedRoute::none().delete(scope, handler)
}

impl ScopedRoute {
    fn none() -> Self {
        Self { methods: MethodRouter::new(), scopes: Vec::new() }
    }

    pub(super) fn put<H: Handler<T, Arc<Api>>, T: 'static>(self, scope: Scope, handler: H) -> Self {
        self.on(Method::PUT, MethodFilter::PUT, Some(scope), handler)
    }

    pub(super) fn patch<H: Handler<T, Arc<Api>>, T: 'static>(self, scope: Scope, handler: H) -> Self {
        self.on(Method::PATCH, MethodFilter::PATCH, Some(scope), handler)
    }

    pub(super) fn get<H: Handler<T, Arc<Api>>, T: 'static>(self, scope: Scope, handler: H) -> Self {
        self.on(Method::GET, MethodFilter::GET, Some(scope), handler)
    }

    pub(super) fn delete<H: Handler<T, Arc<Api>>, T: 'static>(self, scope: Scope, handler: H) -> Self {
        self.on(Method::DELETE, MethodFilter::DELETE, Some(scope), handler)
    }

    /// Takes bodies up to this size.
    pub(super) fn body_limit(self, bytes: usize) -> Self {
        Self { methods: self.methods.layer(DefaultBodyLimit::max(bytes)), ..self }
    }

    fn on<H: Handler<T, Arc<Api>>, T: 'static>(
        mut self,
        method: Method,
        filter: MethodFilter,
        scope: Option<Scope>,
        handler: H,
    ) -> Self {
        self.add(method, scope, routing::on(filter, handler));
        self
    }

    // Not generic, so that all handlers share one copy of what stands before them.
    fn add(&mut self, method: Method, scope: Option<Scope>, mut methods: MethodRouter<Arc<Api>>) {
        if let Some(scope) = scope {
            methods = methods.route_layer(from_fn(move |request, next| require(scope, request, next)));
        }
        self.scopes.push((method, scope));
        self.methods = std::mem::take(&mut self.methods).merge(methods);
    }
}

/// Lets a request pass if its caller has a scope.
async fn require(scope: Scope, request: Request, next: Next) -> Result<Response, Refusal> {
    let caller = request.extensions().get::<Caller>();
    match caller {
        Some(caller) if caller.has(scope) => {
            // Other scopes' changes are in the audit log whoever makes them.
            let write = request.extensions().get::<ConsoleWrite>().filter(|_| scope == Scope::Write);
            if let Some(write) = write.cloned() {
                write.record().await?;
            }
            Ok(next.run(request).await)
        }
        Some(caller) => Err(caller.lacks(scope, "this")),
        // Whoever got here without being asked for a key gets no further.
        None => Err(Refusal(RequestError::new(Reason::Unauthenticated, "the caller is not known"))),
    }
}
