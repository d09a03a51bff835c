//! What the other side wants to get: the field `Accept` (RFC 9110, 12.5.1).

/// How much it wants this type, in thousandths: 0 is not at all. The most specific range
/// decides; where there is no field, all is welcome.
fn quality(accept: &str, of: &str) -> u32 {
    if accept.trim().is_empty() {
        return 1000;
    }
    let kind = of.split('/').next().unwrap_or_default();
    let ranges = accept.split(',').filter_map(|range| {
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next()?;
        let precision = match name.split_once('/')? {
            ("*", "*") => 0,
            (main, "*") if main.eq_ignore_ascii_case(kind) => 1,
            _ if name.eq_ignore_ascii_case(of) => 2,
            _ => return None,
        };
        let q = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
        let q = q.map_or(Some(1.0), |q| q.trim().parse::<f32>().ok())?;
        Some((precision, (q.clamp(0.0, 1.0) * 1000.0) as u32))
    });
    ranges.max_by_key(|(precision, _)| *precision).map_or(0, |(_, quality)| quality)
}

/// The index of the type that is wanted most; of several, and if none is wanted, the first.
pub(super) fn best(accept: &str, types: &[&str]) -> usize {
    let qualities = types.iter().map(|it| quality(accept, it));
    // Of equals, `max_by_key` has the last.
    qualities.enumerate().rev().max_by_key(|(_, quality)| *quality).map_or(0, |(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::best;

    #[test]
    fn what_is_wanted_most_wins() {
        const TYPES: [&str; 2] = ["text/plain", "application/openmetrics-text"];
        // As Prometheus and curl ask, and others may.
        let cases = [
            ("", 0),
            ("*/*", 0),
            (
                "application/openmetrics-text;version=1.0.0;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                1,
            ),
            ("application/openmetrics-text; version=0.0.1,text/plain;version=0.0.4;q=0.5", 1),
            ("text/html, application/xhtml+xml, */*;q=0.8", 0),
            ("application/*", 1),
            ("Application/OpenMetrics-Text", 1),
            ("*/*, text/plain;q=0", 1),
            ("application/openmetrics-text;q=0.2, text/*;q=0.3", 0),
            ("application/openmetrics-text;q=x", 0),
            ("image/png", 0),
            (",;,/", 0),
        ];
        for (accept, want) in cases {
            assert_eq!(best(accept, &TYPES), want, "{accept}");
        }
    }
}
