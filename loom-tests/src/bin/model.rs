//! Runs one model: `model NAME [LABEL [ORDERING]]`, with the arguments of
//! [`loom_tests::run_named`]. Without arguments, lists the models.

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if words.is_empty() {
        loom_tests::MODELS.iter().for_each(|model| println!("{}", model.name));
        return;
    }
    loom_tests::run_named(&words);
}
