//! The answers as a service of tower, for axum, tonic, hyper and others.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::thread;

use ::http::{HeaderName, HeaderValue, StatusCode, header};
use bytes::Bytes;
use futures_channel::oneshot;
use http_body_util::Full;

use super::routes::{Answer, Request};
use crate::watch::Watch;

/// Most requests that are answered at a time: each has a thread, for as long as it takes.
const MOST_AT_A_TIME: usize = 8;

static AT_A_TIME: AtomicUsize = AtomicUsize::new(0);

/// A service that answers the requests of this module, whatever their bodies. See [`service`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Service;

/// The service, to be mounted where the public does not reach it. It has no state: all of them
/// are the same.
///
/// Each request is answered in a thread of its own, as reading names takes time and blocks; of more
/// than 8 at a time the others get the status 503. It needs no runtime. The first call starts
/// a thread that [watches](crate::watch()), unless the process has one.
#[must_use]
pub fn service() -> Service {
    if let Some(watch) = Watch::begin() {
        // If there is no thread to be had, there is no history.
        let _ = thread::Builder::new().name("strata-watch".into()).spawn(|| watch.keep());
    }
    Service
}

impl<B> tower_service::Service<::http::Request<B>> for Service {
    type Response = ::http::Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: ::http::Request<B>) -> Answering {
        let (head, _) = request.into_parts();
        let field = |name| head.headers.get(name).and_then(|it: &HeaderValue| it.to_str().ok());
        // Browsers say so of requests that pages of others make.
        if field(HeaderName::from_static("sec-fetch-site")) == Some("cross-site") {
            return Answering::ready(Answer::text(403, "this is not for pages of other sites"));
        }
        let accept = field(header::ACCEPT).unwrap_or_default().to_owned();
        let is_head = head.method == ::http::Method::HEAD;
        answer_in_thread(move || {
            let request = Request {
                method: if is_head { "GET" } else { head.method.as_str() },
                path: head.uri.path(),
                query: head.uri.query().unwrap_or_default(),
                accept: &accept,
            };
            let answer = request.answer();
            if is_head { Answer { body: vec![], ..answer } } else { answer }
        })
    }
}

/// One of the requests that are being answered.
struct Counted;

impl Counted {
    fn one_more() -> Option<Self> {
        let before = AT_A_TIME.fetch_add(1, Ordering::Relaxed);
        let counted = Counted;
        // Otherwise it is taken off again.
        (before < MOST_AT_A_TIME).then_some(counted)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        AT_A_TIME.fetch_sub(1, Ordering::Relaxed);
    }
}

fn answer_in_thread(answer: impl FnOnce() -> Answer + Send + 'static) -> Answering {
    let Some(counted) = Counted::one_more() else {
        return Answering::ready(Answer::text(503, "too many requests at a time"));
    };
    let (sender, receiver) = oneshot::channel();
    let work = move || {
        let _counted = counted;
        // Nobody may be waiting any more.
        let _ = sender.send(answer());
    };
    match thread::Builder::new().name("strata-http".into()).spawn(work) {
        Ok(_) => Answering(State::Waiting(receiver)),
        Err(error) => Answering::ready(Answer::text(503, &format!("no thread: {error}"))),
    }
}

/// The answer to a request of [`Service`], as soon as it is there.
#[derive(Debug)]
pub struct Answering(State);

#[derive(Debug)]
enum State {
    Ready(Option<Answer>),
    Waiting(oneshot::Receiver<Answer>),
}

impl Answering {
    fn ready(answer: Answer) -> Self {
        Answering(State::Ready(Some(answer)))
    }
}

impl Future for Answering {
    type Output = Result<::http::Response<Full<Bytes>>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = match &mut self.0 {
            State::Ready(answer) => answer.take(),
            State::Waiting(receiver) => match Pin::new(receiver).poll(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(answer) => answer.ok(),
            },
        };
        // The thread has panicked.
        let answer = answer.unwrap_or_else(|| Answer::text(500, "no answer; see standard error"));
        Poll::Ready(Ok(response(answer)))
    }
}

fn response(answer: Answer) -> ::http::Response<Full<Bytes>> {
    let mut response = ::http::Response::new(Full::from(answer.body));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or_default();
    for (name, value) in answer.headers {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    response
}
