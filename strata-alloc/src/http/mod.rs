//! What operators ask of a running program, over HTTP: a page, the explanation, statistics,
//! heap profiles, and a purge.
//!
//! It is off until it is mounted, and **it must not face the public**: it names the functions of
//! the program, anybody who reaches it may have it work, and it asks nobody who they are. Mount it
//! on a port that only operators reach.
//!
//! With axum, or another server that takes services of tower:
//!
//! ```
//! use axum::Router;
//!
//! let app: Router = Router::new().nest_service("/debug/memory", strata_alloc::http::service());
//! ```
//!
//! All others hand over the method, the path below the place where they mount it, the query and the
//! field `Accept`, and send what they get back. That blocks the calling thread; with
//! `seconds` for so long.
//!
//! ```
//! use strata_alloc::http::{self, Request};
//!
//! let answer = http::answer("/explain", "");
//! assert_eq!(answer.status, 200);
//! let answer = Request { method: "POST", ..Request::get("/purge", "") }.answer();
//! assert!(answer.body.ends_with(b"bytes were returned to the system\n"));
//! ```
//!
//! | Request | Answer |
//! |---|---|
//! | `GET /` | a page with the explanation, the history and a flame graph |
//! | `GET /explain` | [`Strata::explain`](crate::Strata::explain), as text or JSON |
//! | `GET /metrics` | [`Strata::metrics`](crate::Strata::metrics), in Prometheus' text format, in OpenMetrics or as JSON |
//! | `GET /heap` | the heap profile, for `go tool pprof`; with `?seconds=30` what grows in so many seconds; with `?base=3` what grew since the snapshot of that number |
//! | `GET /state` | whether the profile is on, the snapshots, the [history](crate::history) and this moment, as JSON |
//! | `POST /profile/start` | switches the heap profile on, with one sample in `?bytes=524288`, in the mean |
//! | `POST /profile/stop` | switches it off |
//! | `POST /purge` | [`Strata::purge`](crate::Strata::purge) |
//!
//! By `Accept` the best type is chosen, or by `?format=text` and `json` for `/explain`, `prometheus`,
//! `openmetrics` and `json` for `/metrics`.
//!
//! `/heap?format=` takes `pprof`, `folded`, `flame` and `text`. An answer of `/heap` without
//! `seconds` or `base` has a number in its field `Strata-Snapshot`, for a later `base`;
//! the last 8 are kept. With `seconds`, a profile that is off is on for so long.
//!
//! The history is written down by a [watch](crate::watch()), which [`service()`] starts as a thread.

mod accept;
mod snapshots;
mod routes;
mod service;

#[doc(inline)]
pub use routes::answer;
pub use routes::{Answer, Request};
pub use service::{Answering, Service, service};
