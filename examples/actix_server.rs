//! A server of actix: the public at one address, operators at another. It does not take services of
//! tower, so it hands over what was asked.
//!
//! ```sh
//! cargo run --release -p examples --features actix --bin actix_server
//! curl http://127.0.0.1:3001/debug/memory/explain
//! ```

use std::{io, thread};

use actix_web::http::{StatusCode, header};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use strata_alloc::Strata;
use strata_alloc::http::Request;

#[global_allocator]
static GLOBAL: Strata = Strata::new();

async fn memory(request: HttpRequest) -> HttpResponse {
    let method = request.method().to_string();
    let path = request.match_info().query("path").to_owned();
    let query = request.query_string().to_owned();
    let accept = request.headers().get(header::ACCEPT).and_then(|it| it.to_str().ok());
    let accept = accept.unwrap_or_default().to_owned();
    // It takes time, and blocks.
    let answer = web::block(move || {
        Request { method: &method, path: &path, query: &query, accept: &accept }.answer()
    });
    let Ok(answer) = answer.await else { return HttpResponse::InternalServerError().finish() };
    let status = StatusCode::from_u16(answer.status).unwrap_or_default();
    let mut response = HttpResponse::build(status);
    for field in answer.headers {
        response.insert_header(field);
    }
    response.body(answer.body)
}

#[actix_web::main]
async fn main() -> io::Result<()> {
    // The history of the page.
    thread::spawn(strata_alloc::watch);
    let operators = HttpServer::new(|| App::new().route("/debug/memory{path:.*}", web::to(memory)));
    let operators = operators.workers(1).bind("127.0.0.1:3001")?.run();
    let public = HttpServer::new(|| App::new().route("/", web::get().to(async || "hello\n")));
    let public = public.bind("127.0.0.1:3000")?.run();
    tokio::spawn(operators);
    public.await
}
