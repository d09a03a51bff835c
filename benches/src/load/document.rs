//! The orders that clients post: generated once from a seed, then posted
//! repeatedly with new ids.

use crate::order::{Address, Choice, Customer, Item, Order};

/// Length of an order's id; ids are replaced in place.
pub const ID_LENGTH: usize = 14;
/// Number of related orders that a posted order names.
const RELATED: usize = 5;

const WORDS: [&str; 24] = [
    "Lamp",
    "Walnut",
    "Desk",
    "Folding",
    "Ceramic",
    "Mug",
    "Waterproof",
    "Jacket",
    "Cotton",
    "Blanket",
    "Stainless",
    "Kettle",
    "Travel",
    "Charger",
    "Noise-cancelling",
    "Headphones",
    "Garden",
    "Hose",
    "Recycled",
    "Notebook",
    "Adjustable",
    "Wrench",
    "Oak",
    "Shelf",
];
const NAMES: [&str; 12] = [
    "Amara",
    "Bjarne",
    "Chidi",
    "Dolores",
    "Eleni",
    "Farid",
    "Guadalupe",
    "Hiroshi",
    "Ingeborg",
    "Jaswinder",
    "Okonkwo",
    "Vandenberghe",
];
const CITIES: [&str; 8] = [
    "Aarhus",
    "Bologna",
    "Coimbra",
    "Dar es Salaam",
    "Eindhoven",
    "Santa Cruz de la Sierra",
    "Gdynia",
    "Haifa",
];
const OPTIONS: [(&str, &str); 8] = [
    ("colour", "forest green"),
    ("colour", "anthracite"),
    ("size", "extra large"),
    ("size", "medium"),
    ("engraving", "To Grandmother, with love from all of us"),
    ("wrapping", "gift paper"),
    ("delivery", "express"),
    ("plug", "type G"),
];

/// A small pseudo-random generator (SplitMix64).
#[derive(Clone)]
pub struct Random(u64);

impl Random {
    /// The sequence for `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number less than `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.bits() % bound
    }

    fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len() as u64) as usize]
    }
}

/// The id with number `number`.
pub fn id(number: u64) -> String {
    format!("ord-{number:010}")
}

/// A document as sent: bytes and the offsets of the ids.
pub struct Template {
    /// The serialized order.
    pub body: Vec<u8>,
    /// Offset of the order's own id.
    pub own: usize,
    /// Offsets of the related orders' ids.
    pub related: Vec<usize>,
    /// The total that the reply must contain.
    pub total_cents: u64,
}

/// A set of generated orders.
pub struct Documents {
    orders: Vec<Order>,
}

impl Documents {
    /// `count` orders from `seed`.
    pub fn new(seed: u64, count: usize) -> Self {
        let mut random = Random::new(seed);
        Self { orders: (0..count).map(|_| order(&mut random)).collect() }
    }

    /// The order with this index.
    pub fn order(&self, index: usize) -> &Order {
        &self.orders[index]
    }

    /// All orders as sent.
    pub fn templates(&self) -> serde_json::Result<Vec<Template>> {
        self.orders.iter().map(template).collect()
    }
}

fn template(order: &Order) -> serde_json::Result<Template> {
    // Placeholders that cannot appear elsewhere in the document.
    let mark = "~".repeat(ID_LENGTH);
    let mut marked = order.clone();
    marked.id = mark.clone();
    marked.related = vec![mark.clone(); RELATED];
    let body = serde_json::to_vec(&marked)?;
    let mut places = body
        .windows(ID_LENGTH)
        .enumerate()
        .filter(|(_, window)| *window == mark.as_bytes())
        .map(|(at, _)| at);
    let own = places.next().unwrap_or_default();
    let related = places.collect();
    Ok(Template { body, own, related, total_cents: order.total_cents() })
}

fn order(random: &mut Random) -> Order {
    let name = format!("{} {}", random.pick(&NAMES), random.pick(&NAMES));
    // Mostly small orders and a few large ones.
    let many = if random.below(8) == 0 { 24 } else { 1 };
    let items = 5 + random.below(9) + random.below(many);
    Order {
        id: id(0),
        placed_at: format!(
            "2025-{:02}-{:02}T09:30:00Z",
            1 + random.below(12),
            1 + random.below(28)
        ),
        currency: String::from("EUR"),
        customer: Customer {
            id: random.below(1_000_000),
            email: format!("{}@mail.example", name.to_lowercase().replace(' ', ".")),
            phones: (0..1 + random.below(2))
                .map(|_| format!("+{:011}", random.below(100_000_000_000)))
                .collect(),
            name,
        },
        shipping: address(random),
        billing: (random.below(3) == 0).then(|| address(random)),
        items: (0..items).map(|_| item(random)).collect(),
        tags: (0..random.below(4)).map(|_| random.pick(&WORDS).to_lowercase()).collect(),
        attributes: (0..2 + random.below(4))
            .map(|n| (format!("x-{n}-{}", random.pick(&WORDS)), format!("{:x}", random.bits())))
            .collect(),
        note: (random.below(4) == 0).then(|| {
            let words = 8 + random.below(60);
            (0..words).map(|_| *random.pick(&WORDS)).collect::<Vec<_>>().join(" ")
        }),
        related: (0..RELATED).map(|_| id(0)).collect(),
    }
}

fn address(random: &mut Random) -> Address {
    Address {
        lines: (0..1 + random.below(2))
            .map(|_| format!("{} Street {}", random.pick(&WORDS), 1 + random.below(300)))
            .collect(),
        city: String::from(*random.pick(&CITIES)),
        code: format!("{:05}", random.below(100_000)),
        country: String::from("DK"),
    }
}

fn item(random: &mut Random) -> Item {
    let words = 2 + random.below(4);
    Item {
        sku: format!("{:04}-{:08x}", random.below(10_000), random.below(1 << 32)),
        title: (0..words).map(|_| *random.pick(&WORDS)).collect::<Vec<_>>().join(" "),
        quantity: 1 + random.below(4) as u32,
        unit_cents: 199 + random.below(50_000),
        options: (0..random.below(4))
            .map(|_| *random.pick(&OPTIONS))
            .map(|(name, value)| Choice { name: name.into(), value: value.into() })
            .collect(),
        tags: (0..random.below(3)).map(|_| random.pick(&WORDS).to_lowercase()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_with_its_ids_written_parses_to_the_order() {
        let documents = Documents::new(11, 20);
        for (n, template) in documents.templates().unwrap().iter_mut().enumerate() {
            assert_eq!(template.related.len(), RELATED);
            template.body[template.own..][..ID_LENGTH].copy_from_slice(id(77).as_bytes());
            for (at, number) in template.related.iter().zip(100..) {
                template.body[*at..][..ID_LENGTH].copy_from_slice(id(number).as_bytes());
            }
            let order: Order = serde_json::from_slice(&template.body).unwrap();
            assert_eq!(order.id, "ord-0000000077");
            assert_eq!(order.related[1], "ord-0000000101");
            assert_eq!(order.total_cents(), template.total_cents);
            assert_eq!(order.items.len(), documents.order(n).items.len());
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_orders() {
        let bytes = |seed| serde_json::to_vec(Documents::new(seed, 1).order(0)).unwrap();
        assert_eq!(bytes(5), bytes(5));
        assert_ne!(bytes(5), bytes(6));
    }
}
