//! The requests, and what is answered to each.

use std::fmt::{Display, Write as _};
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use allocator_core::{Metrics, Strata};
use strata_profile::Snapshot;

use super::{accept, snapshots};
use crate::watch::{self, Point};

/// Longest time for which a request measures what grows.
const MOST_SECONDS: u64 = 3600;

/// A request, without the place where it is mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// The method, such as `GET`.
    pub method: &'a str,
    /// The path, such as `/heap`.
    pub path: &'a str,
    /// The query, without the question mark, such as `seconds=30`; or nothing.
    pub query: &'a str,
    /// The field `Accept`; or nothing.
    pub accept: &'a str,
}

/// What to send back.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Answer {
    /// The status, such as 200.
    pub status: u16,
    /// Fields, with names in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// Answers a `GET`, as [`Request::answer`] does.
#[must_use]
pub fn answer(path: &str, query: &str) -> Answer {
    Request::get(path, query).answer()
}

const HTML: &str = "text/html; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const BINARY: &str = "application/octet-stream";

/// The page. It asks for all else.
const PAGE: &str = include_str!("page.html");

/// What the pages may do: nothing with other servers.
const POLICY: &str = "default-src 'self'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
                      img-src data:; base-uri 'self'";

impl<'a> Request<'a> {
    /// A `GET` of this path with this query, whatever type of answer is welcome.
    #[must_use]
    pub const fn get(path: &'a str, query: &'a str) -> Self {
        Request { method: "GET", path, query, accept: "" }
    }

    /// Answers. It takes as long as reading the names of functions takes; with `seconds`, so long.
    #[must_use]
    pub fn answer(&self) -> Answer {
        let path = self.path.trim_matches('/');
        let Some((_, method, respond)) = ROUTES.iter().find(|(it, ..)| *it == path) else {
            let known: Vec<_> = ROUTES.iter().map(|(path, ..)| format!("/{path}")).collect();
            return Answer::text(404, &format!("there is no /{path}, only {}", known.join(" ")));
        };
        if *method != self.method {
            let mut answer = Answer::text(405, &format!("/{path} is for {method}"));
            answer.headers.push(("allow", (*method).to_string()));
            return answer;
        }
        respond(self).unwrap_or_else(|problem| problem)
    }

    /// The values of these parameters, of which a query has each at most once.
    fn parameters<const N: usize>(&self, names: [&str; N]) -> Result<[Option<&'a str>; N], Answer> {
        let mut values = [None; N];
        for part in self.query.split('&').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let Some(index) = names.iter().position(|it| *it == name) else {
                let known = if N == 0 { "none".to_string() } else { names.join(", ") };
                return Err(Answer::text(400, &format!("no parameter {name}, only {known}")));
            };
            values[index] = Some(value);
        }
        Ok(values)
    }
}

impl Request<'_> {
    /// The index of the form of the answer: the one that is named, or else of the type that is
    /// wanted most.
    fn form<const N: usize>(
        &self,
        name: Option<&str>,
        forms: [(&str, &str); N],
    ) -> Result<usize, Answer> {
        let Some(name) = name else {
            return Ok(accept::best(self.accept, &forms.map(|(_, kind)| kind)));
        };
        forms.iter().position(|(it, _)| *it == name).ok_or_else(|| {
            let known = forms.map(|(name, _)| name).join(", ");
            Answer::text(400, &format!("format is one of {known}"))
        })
    }
}

/// Answers, or says what is wrong with the request.
type Respond = fn(&Request<'_>) -> Result<Answer, Answer>;

const ROUTES: &[(&str, &str, Respond)] = &[
    ("", "GET", page),
    ("explain", "GET", explain),
    ("metrics", "GET", metrics),
    ("heap", "GET", heap),
    ("state", "GET", state),
    ("profile/start", "POST", start),
    ("profile/stop", "POST", stop),
    ("purge", "POST", purge),
];

impl Answer {
    /// A line for people.
    pub(super) fn text(status: u16, line: &str) -> Self {
        Answer { status, ..Answer::new(TEXT, format!("{line}\n").into_bytes()) }
    }

    fn new(kind: &str, body: Vec<u8>) -> Self {
        let fields = [
            ("content-type", kind),
            ("cache-control", "no-store"),
            ("content-security-policy", POLICY),
            ("x-content-type-options", "nosniff"),
        ];
        let headers = fields.map(|(name, value)| (name, value.to_string())).to_vec();
        Answer { status: 200, headers, body }
    }
}

fn page(request: &Request<'_>) -> Result<Answer, Answer> {
    let [] = request.parameters([])?;
    Ok(Answer::new(HTML, PAGE.into()))
}

fn explain(request: &Request<'_>) -> Result<Answer, Answer> {
    let [form] = request.parameters(["format"])?;
    let explanation = Strata::explain();
    match request.form(form, [("text", "text/plain"), ("json", JSON)])? {
        0 => Ok(Answer::text(200, &explanation.to_string())),
        _ => Ok(Answer::new(JSON, explanation.json().to_string().into_bytes())),
    }
}

fn metrics(request: &Request<'_>) -> Result<Answer, Answer> {
    let [form] = request.parameters(["format"])?;
    let forms = [
        ("prometheus", "text/plain"),
        ("openmetrics", "application/openmetrics-text"),
        ("json", JSON),
    ];
    let form = request.form(form, forms)?;
    let metrics = Strata::metrics();
    let (kind, text) = match form {
        0 => (Metrics::PROMETHEUS_TYPE, metrics.prometheus().to_string()),
        1 => (Metrics::OPEN_METRICS_TYPE, metrics.open_metrics().to_string()),
        _ => (Metrics::JSON_TYPE, metrics.json().to_string()),
    };
    Ok(Answer::new(kind, text.into_bytes()))
}

fn purge(request: &Request<'_>) -> Result<Answer, Answer> {
    let [] = request.parameters([])?;
    Ok(Answer::text(200, &format!("{} bytes were returned to the system", Strata::purge())))
}

fn start(request: &Request<'_>) -> Result<Answer, Answer> {
    let [bytes] = request.parameters(["bytes"])?;
    let bytes = number("bytes", bytes, 1..=usize::MAX)?.unwrap_or(Strata::PROFILE_BYTES);
    snapshots::start(bytes);
    Ok(Answer::text(200, &format!("the heap profile is on, with one sample in {bytes} bytes")))
}

fn stop(request: &Request<'_>) -> Result<Answer, Answer> {
    let [] = request.parameters([])?;
    snapshots::stop();
    Ok(Answer::text(200, "the heap profile is off"))
}

/// A parameter that is a number within bounds.
fn number<T>(name: &str, text: Option<&str>, bounds: RangeInclusive<T>) -> Result<Option<T>, Answer>
where
    T: FromStr + PartialOrd + Display,
{
    let Some(text) = text else { return Ok(None) };
    match text.parse() {
        Ok(value) if bounds.contains(&value) => Ok(Some(value)),
        _ => {
            let (least, most) = bounds.into_inner();
            Err(Answer::text(400, &format!("{name} is a number from {least} to {most}")))
        }
    }
}

/// The forms of a heap profile.
const FORMATS: [&str; 4] = ["pprof", "folded", "flame", "text"];

fn heap(request: &Request<'_>) -> Result<Answer, Answer> {
    let [seconds, base, format] = request.parameters(["seconds", "base", "format"])?;
    let seconds = number("seconds", seconds, 1..=MOST_SECONDS)?;
    let base = number("base", base, 1..=u64::MAX)?;
    let format = format.unwrap_or(FORMATS[0]);
    // A wrong one is found before the time is spent.
    if !FORMATS.contains(&format) {
        return Err(Answer::text(400, &format!("format is one of {}", FORMATS.join(", "))));
    }
    let (snapshot, number) = match (seconds, base) {
        (Some(_), Some(_)) => {
            return Err(Answer::text(400, "either seconds or base"));
        }
        (Some(seconds), None) => match snapshots::growth(Duration::from_secs(seconds)) {
            Some(growth) => (growth, None),
            None => return Err(Answer::text(503, "too many measure at a time")),
        },
        (None, Some(base)) => (Snapshot::take().since(&kept(base)?), None),
        (None, None) => {
            let snapshot = Snapshot::take();
            if snapshot.entries().is_empty() && Strata::profile_rate().is_none() {
                return Err(Answer::text(409, IS_OFF));
            }
            let number = snapshots::keep(snapshot.clone());
            (snapshot, Some(number))
        }
    };
    let mut answer = match format {
        "folded" => Answer::new(TEXT, snapshot.folded().into_bytes()),
        "flame" => Answer::new(HTML, snapshot.flame_graph().into_bytes()),
        "text" => Answer::new(TEXT, snapshot.report().into_bytes()),
        _ => {
            let mut answer = Answer::new(BINARY, snapshot.pprof());
            let name = "attachment; filename=\"heap.pb.gz\"";
            answer.headers.push(("content-disposition", name.to_string()));
            answer
        }
    };
    answer.headers.extend(number.map(|number| ("strata-snapshot", number.to_string())));
    Ok(answer)
}

const IS_OFF: &str = "the heap profile is off, and has recorded nothing: POST /profile/start \
                      switches it on, /heap?seconds=30 for so long";

fn kept(number: u64) -> Result<Snapshot, Answer> {
    let missing = || {
        let numbers = snapshots::numbers();
        Answer::text(404, &format!("there is no snapshot {number}, only {numbers:?}"))
    };
    snapshots::get(number).ok_or_else(missing)
}

fn state(request: &Request<'_>) -> Result<Answer, Answer> {
    let [] = request.parameters([])?;
    let rate = Strata::profile_rate().map_or_else(|| "null".to_string(), |it| it.to_string());
    let (dropped, snapshots) = (Strata::profile_dropped(), snapshots::numbers());
    let mut text = format!(
        "{{\"profile_bytes\":{rate},\"dropped_samples\":{dropped},\"snapshots\":{snapshots:?},\
         \"history\":["
    );
    let points = watch::history().into_iter().chain([Point::now()]);
    for (index, point) in points.enumerate() {
        let comma = if index == 0 { "" } else { "," };
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "{comma}{{\"time\":{},\"resident_bytes\":{},\"committed_bytes\":{},\"live_bytes\":{}}}",
            point.time, point.resident_bytes, point.committed_bytes, point.live_bytes
        );
    }
    text.push_str("]}");
    Ok(Answer::new(JSON, text.into_bytes()))
}
