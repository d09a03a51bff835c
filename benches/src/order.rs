//! The documents: the order that a client posts and the server's reply.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A customer's order, as posted to `/orders` and as stored in the cache.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Order {
    /// The order's id, the key in the cache.
    pub id: String,
    /// Time of the order, RFC 3339.
    pub placed_at: String,
    /// ISO 4217 code.
    pub currency: String,
    /// The customer.
    pub customer: Customer,
    /// Delivery address.
    pub shipping: Address,
    /// Invoice address, if different.
    pub billing: Option<Address>,
    /// Ordered items.
    pub items: Vec<Item>,
    /// Free-form tags.
    pub tags: Vec<String>,
    /// Free-form attributes.
    pub attributes: BTreeMap<String, String>,
    /// A note from the customer.
    pub note: Option<String>,
    /// Ids of orders to summarize in the reply.
    pub related: Vec<String>,
}

/// A customer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Customer {
    /// Customer number.
    pub id: u64,
    /// Full name.
    pub name: String,
    /// Mail address.
    pub email: String,
    /// Phone numbers.
    pub phones: Vec<String>,
}

/// A postal address.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Address {
    /// Lines above the city.
    pub lines: Vec<String>,
    /// City.
    pub city: String,
    /// Postal code.
    pub code: String,
    /// Country code.
    pub country: String,
}

/// One item of an order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Item {
    /// Stock-keeping unit.
    pub sku: String,
    /// Human-readable title.
    pub title: String,
    /// Quantity.
    pub quantity: u32,
    /// Unit price in cents.
    pub unit_cents: u64,
    /// Chosen options.
    pub options: Vec<Choice>,
    /// Free-form tags.
    pub tags: Vec<String>,
}

/// One chosen option of an item.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Choice {
    /// Such as "colour".
    pub name: String,
    /// Such as "green".
    pub value: String,
}

/// The server's reply to a posted order.
#[derive(Debug, Serialize, Deserialize)]
pub struct Reply {
    /// The order's id.
    pub id: String,
    /// Sum over the items.
    pub total_cents: u64,
    /// One line for each item.
    pub lines: Vec<Line>,
    /// Summaries of the related orders that are still cached.
    pub related: Vec<Summary>,
    /// Search terms of the order.
    pub terms: Vec<String>,
    /// A sentence for the customer.
    pub message: String,
}

/// One line of a reply.
#[derive(Debug, Serialize, Deserialize)]
pub struct Line {
    /// Stock-keeping unit.
    pub sku: String,
    /// Title with the chosen options.
    pub label: String,
    /// Quantity times unit price.
    pub amount_cents: u64,
}

/// Summary of a related order.
#[derive(Debug, Serialize, Deserialize)]
pub struct Summary {
    /// The related order's id.
    pub id: String,
    /// Its customer.
    pub customer: String,
    /// Its first item.
    pub first_item: String,
    /// Its total.
    pub total_cents: u64,
}

impl Order {
    /// Sum over the items, in cents.
    pub fn total_cents(&self) -> u64 {
        self.items.iter().map(|item| u64::from(item.quantity) * item.unit_cents).sum()
    }

    /// Bytes that this order keeps allocated, by capacity.
    pub fn heap_bytes(&self) -> usize {
        self.id.capacity()
            + self.placed_at.capacity()
            + self.currency.capacity()
            + self.customer.name.capacity()
            + self.customer.email.capacity()
            + strings(&self.customer.phones)
            + self.shipping.heap_bytes()
            + self.billing.as_ref().map_or(0, Address::heap_bytes)
            + self.items.capacity() * size_of::<Item>()
            + self.items.iter().map(Item::heap_bytes).sum::<usize>()
            + strings(&self.tags)
            + self.attributes.len() * 2 * size_of::<String>()
            + self.attributes.iter().map(|(k, v)| k.capacity() + v.capacity()).sum::<usize>()
            + self.note.as_ref().map_or(0, String::capacity)
            + strings(&self.related)
    }
}

impl Address {
    fn heap_bytes(&self) -> usize {
        strings(&self.lines) + self.city.capacity() + self.code.capacity() + self.country.capacity()
    }
}

impl Item {
    fn heap_bytes(&self) -> usize {
        self.sku.capacity()
            + self.title.capacity()
            + self.options.capacity() * size_of::<Choice>()
            + self.options.iter().map(|c| c.name.capacity() + c.value.capacity()).sum::<usize>()
            + strings(&self.tags)
    }
}

fn strings(list: &Vec<String>) -> usize {
    list.capacity() * size_of::<String>() + list.iter().map(String::capacity).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heap_bytes_count_every_string_and_vector() {
        let address = Address {
            lines: vec![String::from("abcd")],
            city: String::from("ab"),
            code: String::from("a"),
            country: String::from("a"),
        };
        assert_eq!(address.heap_bytes(), size_of::<String>() + 4 + 2 + 1 + 1);

        let item = Item {
            sku: String::from("abc"),
            title: String::new(),
            quantity: 3,
            unit_cents: 50,
            options: vec![Choice { name: String::from("a"), value: String::from("bc") }],
            tags: Vec::new(),
        };
        assert_eq!(item.heap_bytes(), 3 + size_of::<Choice>() + 1 + 2);
    }
}
