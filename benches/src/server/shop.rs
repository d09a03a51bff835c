//! Processing of an order: a thread pool in front of a cache that is limited by
//! the bytes it keeps allocated.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Result;
use crossbeam_channel::{Receiver, Sender, unbounded};
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use tokio::sync::oneshot;

use crate::order::{Line, Order, Reply, Summary};

type Orders = Cache<String, Arc<Order>>;

/// Maximum number of terms in a reply.
const TERMS_LISTED: usize = 12;

/// An order sent to the pool, with the channel for the reply.
struct Job {
    order: Order,
    terms: Vec<String>,
    reply: oneshot::Sender<Reply>,
}

/// The cache and the channel to the pool's threads.
pub struct Shop {
    orders: Orders,
    jobs: Sender<Job>,
}

impl Shop {
    /// Starts `threads` pool threads with a cache of at most `cache_bytes`.
    pub fn start(cache_bytes: u64, threads: usize) -> Result<Self> {
        let orders = Cache::builder()
            .max_capacity(cache_bytes)
            .eviction_policy(EvictionPolicy::lru())
            .weigher(|id: &String, order: &Arc<Order>| {
                let bytes = id.capacity() + size_of::<Order>() + order.heap_bytes();
                u32::try_from(bytes).unwrap_or(u32::MAX)
            })
            .build();
        let (jobs, queue) = unbounded();
        for index in 0..threads {
            let (orders, queue): (Orders, Receiver<Job>) = (orders.clone(), queue.clone());
            std::thread::Builder::new()
                .name(format!("pool-{index}"))
                .spawn(move || queue.iter().for_each(|job| run(&orders, job)))?;
        }
        Ok(Self { orders, jobs })
    }

    /// Lets the pool store `order` and build the reply; `None` if it cannot.
    pub async fn place(&self, order: Order, terms: Vec<String>) -> Option<Reply> {
        let (reply, answer) = oneshot::channel();
        self.jobs.send(Job { order, terms, reply }).ok()?;
        answer.await.ok()
    }

    /// Number of cached orders, and the bytes that they keep allocated.
    pub fn live(&self) -> (u64, u64) {
        self.orders.run_pending_tasks();
        (self.orders.entry_count(), self.orders.weighted_size())
    }
}

fn run(orders: &Orders, job: Job) {
    let Job { order, terms, reply } = job;
    let answer = build_reply(orders, &order, terms);
    orders.insert(order.id.clone(), Arc::new(order));
    // A client that has disconnected does not need a reply.
    let _ = reply.send(answer);
}

fn build_reply(orders: &Orders, order: &Order, mut terms: Vec<String>) -> Reply {
    let lines: Vec<Line> = order
        .items
        .iter()
        .map(|item| {
            let options: Vec<&str> = item.options.iter().map(|o| o.value.as_str()).collect();
            Line {
                sku: item.sku.clone(),
                label: format!("{} ({})", item.title, options.join(", ")),
                amount_cents: u64::from(item.quantity) * item.unit_cents,
            }
        })
        .collect();
    let related = order.related.iter().filter_map(|id| orders.get(id)).map(|o| summary(&o));
    terms.truncate(TERMS_LISTED);
    let total_cents = lines.iter().map(|line| line.amount_cents).sum();
    Reply {
        id: order.id.clone(),
        total_cents,
        related: related.collect(),
        message: format!(
            "Thank you, {}: {} items go to {}.",
            order.customer.name,
            lines.len(),
            order.shipping.city
        ),
        lines,
        terms,
    }
}

fn summary(order: &Order) -> Summary {
    Summary {
        id: order.id.clone(),
        customer: order.customer.name.clone(),
        first_item: order.items.first().map(|item| item.title.clone()).unwrap_or_default(),
        total_cents: order.total_cents(),
    }
}

/// The words of the items' titles and tags in lower case, most frequent first.
pub fn search_terms(order: &Order) -> Vec<String> {
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    for item in &order.items {
        let words = item.title.split_whitespace().chain(item.tags.iter().map(String::as_str));
        for word in words {
            *seen.entry(word.to_lowercase()).or_default() += 1;
        }
    }
    let mut terms: Vec<(String, u32)> = seen.into_iter().collect();
    terms.sort_by_key(|(_, times)| std::cmp::Reverse(*times));
    terms.into_iter().map(|(term, _)| term).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::document::Documents;

    #[test]
    fn a_reply_prices_the_order_and_summarizes_related_ones() {
        let shop = Shop::start(1 << 20, 1).unwrap();
        let mut order = Documents::new(1, 1).order(0).clone();
        order.id = "first".into();
        order.related = vec!["absent".into()];
        let total = order.total_cents();
        assert!(total > 0);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let reply = runtime.block_on(shop.place(order.clone(), vec!["term".into()])).unwrap();
        assert_eq!(
            (reply.id.as_str(), reply.total_cents, reply.related.len()),
            ("first", total, 0)
        );
        assert_eq!(reply.lines.len(), order.items.len());

        order.id = "second".into();
        order.related = vec!["first".into()];
        let reply = runtime.block_on(shop.place(order, Vec::new())).unwrap();
        assert_eq!(reply.related.len(), 1);
        assert_eq!((reply.related[0].id.as_str(), reply.related[0].total_cents), ("first", total));
        let (entries, bytes) = shop.live();
        assert_eq!(entries, 2);
        assert!(bytes > 2 * size_of::<Order>() as u64);
    }

    #[test]
    fn the_cache_stays_within_its_bound() {
        let shop = Shop::start(256 << 10, 2).unwrap();
        let documents = Documents::new(7, 8);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for n in 0..500 {
            let mut order = documents.order(n % 8).clone();
            order.id = format!("order-{n}");
            runtime.block_on(shop.place(order, Vec::new())).unwrap();
        }
        let (entries, bytes) = shop.live();
        assert!(bytes <= 256 << 10, "{bytes} bytes");
        assert!(entries > 10 && entries < 400, "{entries} entries");
    }

    #[test]
    fn terms_are_lower_case_and_commonest_first() {
        let mut order = Documents::new(3, 1).order(0).clone();
        order.items.truncate(2);
        order.items[0].title = "Green Lamp".into();
        order.items[1].title = "Blue lamp".into();
        order.items.iter_mut().for_each(|item| item.tags.clear());
        assert_eq!(search_terms(&order), ["lamp", "blue", "green"]);
    }
}
