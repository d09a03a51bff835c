//! An HTTP server over a bounded cache of orders, and its clients, on one
//! runtime: they talk over loopback, a fixed number of requests.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use fastrand::Rng;
use moka::sync::Cache;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::parts::{Hasher, skewed, sum};
use crate::load::document::{Documents, id};
use crate::load::http::{Connection, post_head};
use crate::order::Order;
use crate::workloads::parts::{fold, scaled};

/// Threads of the runtime.
const THREADS: usize = 2;
/// Clients: a connection each.
const CLIENTS: u64 = 8;
/// Requests of all clients.
const REQUESTS: u64 = 90_000;
/// Bytes of the cached orders.
const CAPACITY: u64 = 64 << 20;
/// Different orders.
const ORDERS: usize = 60_000;
/// Orders that differ in more than their number.
const DOCUMENTS: usize = 512;

/// What the server and the clients know.
struct App {
    documents: Documents,
    orders: Cache<u64, Arc<Order>, Hasher>,
}

impl App {
    fn new() -> App {
        let weigh = |_: &u64, order: &Arc<Order>| {
            u32::try_from(size_of::<Order>() + order.heap_bytes()).unwrap_or(u32::MAX)
        };
        let orders = Cache::builder().max_capacity(CAPACITY).weigher(weigh);
        App {
            documents: Documents::new(400, DOCUMENTS),
            orders: orders.build_with_hasher(Hasher::default()),
        }
    }

    /// The order with this number. It is the same whoever makes it, so a reply
    /// does not depend on what is cached.
    fn order(&self, number: u64) -> Order {
        let mut order = self.documents.order(number as usize % DOCUMENTS).clone();
        order.id = id(number);
        order.customer.id = number;
        order
    }
}

/// Replies with an order, which is made if it is not cached.
async fn show(State(app): State<Arc<App>>, Path(number): Path<u64>) -> Result<Vec<u8>, StatusCode> {
    let order = app.orders.get_with(number, || Arc::new(app.order(number)));
    serde_json::to_vec(&*order).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

/// Caches an order, and replies with its total.
async fn place(State(app): State<Arc<App>>, body: Bytes) -> Result<String, StatusCode> {
    let order: Order = serde_json::from_slice(&body).map_err(|_| StatusCode::BAD_REQUEST)?;
    let total = format!("{} costs {}", order.id, order.total_cents());
    app.orders.insert(order.customer.id, Arc::new(order));
    Ok(total)
}

/// One client: of four requests, three ask for an order, and one posts one.
async fn client(app: Arc<App>, address: SocketAddr, requests: u64, seed: u64) -> Result<u64> {
    let mut connection = Connection::open(address).await?;
    let mut rng = Rng::with_seed(seed);
    let mut all = 0;
    for _ in 0..requests {
        let number = skewed(&mut rng, ORDERS) as u64;
        if rng.u8(..4) == 0 {
            let order = app.order(number);
            let body = serde_json::to_vec(&order)?;
            let mut request = post_head("/orders", body.len()).into_bytes();
            request.extend_from_slice(&body);
            let reply = connection.exchange(&request).await?;
            let expected = format!("{} costs {}", order.id, order.total_cents());
            ensure!(reply == expected.as_bytes(), "{expected}: another reply");
            all = fold(all, sum(reply));
        } else {
            let request = format!("GET /orders/{number} HTTP/1.1\r\nhost: server\r\n\r\n");
            all = fold(all, sum(connection.exchange(request.as_bytes()).await?));
        }
    }
    Ok(all)
}

async fn serve(scale: f64) -> Result<u64> {
    let app = Arc::new(App::new());
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let router = Router::new()
        .route("/orders/{number}", get(show))
        .route("/orders", post(place))
        .with_state(Arc::clone(&app));
    let (stop, stopped) = oneshot::channel::<()>();
    let server = axum::serve(listener, router).with_graceful_shutdown(async {
        // An error means that the sender is gone: stop, too.
        let _ = stopped.await;
    });
    let server = tokio::spawn(server.into_future());

    let mut clients = JoinSet::new();
    let each = scaled(REQUESTS / CLIENTS, scale);
    for n in 0..CLIENTS {
        clients.spawn(client(Arc::clone(&app), address, each, 401 + n));
    }
    let mut all = 0_u64;
    while let Some(client) = clients.join_next().await {
        all = all.wrapping_add(client??);
    }
    drop(stop);
    server.await?.context("serving")?;
    Ok(all)
}

/// Runs the program.
pub(super) fn run(scale: f64) -> u64 {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_all()
        .build()
        .expect("a runtime");
    // A task of its own, so that all work is done by the runtime's threads.
    let work = runtime.spawn(serve(scale));
    runtime.block_on(work).expect("the server ends").expect("every reply is right")
}
