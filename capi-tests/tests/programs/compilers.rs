//! Compilers: the object files are identical.

use std::fmt::Write;
use std::path::Path;

use crate::folder::Folder;
use crate::installed::find_installed;
use crate::twice::{assert_same_output, contents, printed};

/// C++ source that instantiates many templates of the standard library.
fn templates(count: usize) -> String {
    let mut text = String::from(
        "#include <algorithm>\n#include <functional>\n#include <map>\n#include <memory>\n\
         #include <numeric>\n#include <regex>\n#include <sstream>\n#include <string>\n\
         #include <tuple>\n#include <unordered_map>\n#include <variant>\n#include <vector>\n\
         template <int N> struct Tag { int value = N; std::string name = std::to_string(N); };\n\
         template <int N> bool operator<(const Tag<N> &a, const Tag<N> &b) {\n\
         return std::tie(a.value, a.name) < std::tie(b.value, b.name); }\n\
         template <int N> constexpr int fold() { if constexpr (N < 2) return N;\n\
         else return fold<N - 1>() + fold<N - 2>() % 7; }\n",
    );
    for i in 0..count {
        writeln!(
            text,
            "int work{i}(int n) {{
    std::map<Tag<{i}>, std::vector<std::variant<int, std::string, Tag<{i}>>>> table;
    for (int k = 0; k < n; k++)
        table[Tag<{i}>{{k % {i}, {{}}}}].emplace_back(std::string(k % 9, 'a' + k % 26));
    std::unordered_map<std::string, std::shared_ptr<Tag<{i}>>> names;
    int sum = fold<{}>();
    for (auto &[tag, list] : table) for (auto &one : list)
        sum += std::visit([&](auto &it) -> int {{
            if constexpr (std::is_same_v<std::decay_t<decltype(it)>, std::string>)
                return names.emplace(it, std::make_shared<Tag<{i}>>()).second ? {i} : 1;
            else return 3;
        }}, one);
    std::function<int(int)> deep = [&](int m) {{ return m ? deep(m - 1) + sum : {i}; }};
    return deep(n % 5);
}}",
            i % 20 + 5
        )
        .expect("writing to a string");
    }
    text + "bool like(const std::string &s) { return std::regex_match(s, std::regex(\"a+(b|c)*\")); }\n"
}

/// C source with large functions, tables and heavy use of the preprocessor.
fn functions(count: usize) -> String {
    let mut text = String::from(
        "#include <math.h>\n#include <stdio.h>\n#include <string.h>\n\
         #define TWICE(x) x x\n#define MANY(x) TWICE(TWICE(TWICE(x)))\n",
    );
    for i in 0..count {
        writeln!(
            text,
            "static const double table{i}[] = {{{}}};
struct s{i} {{ int a[{}]; double b; char c[{}]; struct s{i} *next; }};
double f{i}(struct s{i} *s, int n) {{
    double sum = {i};
    for (int k = 0; k < n; k++) {{
        MANY(sum += table{i}[k % 40] * s->a[(k + {i}) % {}]; s->c[k % {}] ^= k;)
        switch (k % 12) {{
            case 0: sum = sqrt(sum); break; case 1: sum *= s->b; break;
            case 2: s = s->next ? s->next : s; break; case 5: memset(s->c, k, sizeof s->c); break;
            case 7: printf(\"%g %d\\n\", sum, k); break; default: sum -= table{i}[k % 7];
        }}
    }}
    return sum;
}}",
            (0..40).map(|k| format!("{}.{k}", i * k)).collect::<Vec<_>>().join(", "),
            i % 30 + 2,
            i % 50 + 3,
            i % 30 + 2,
            i % 50 + 3
        )
        .expect("writing to a string");
    }
    text
}

/// Compiles with each list of flags, with and without the library.
fn objects_are_the_same(compiler: &Path, source: &str, text: &str, flags: &[&[&str]]) {
    let folder = Folder::new("compiler");
    folder.write(source, text);
    assert_same_output(|under| {
        let mut objects = Vec::new();
        for (i, flags) in flags.iter().enumerate() {
            let object = format!("{i}.o");
            let mut command = under.command(compiler);
            command.args(["-c", source, "-o", &object]).args(*flags).current_dir(folder.path());
            printed(&mut command);
            objects.push(folder.at(&object));
        }
        contents(&objects)
    });
}

#[test]
fn clang() {
    let Some(clang) = find_installed("clang++", "clang", "--version") else { return };
    objects_are_the_same(&clang, "templates.cc", &templates(6), &[&["-std=c++17", "-O2", "-g"]]);
}

#[test]
fn gcc() {
    let Some(gcc) = find_installed("gcc", "gcc", "--version") else { return };
    let flags: [&[&str]; 2] = [&["-O2", "-g"], &["-O3", "-flto", "-fno-fat-lto-objects"]];
    // LTO objects contain a random name unless a seed is given.
    let flags = flags.map(|it| [it, &["-frandom-seed=1"]].concat());
    objects_are_the_same(&gcc, "functions.c", &functions(80), &[&flags[0], &flags[1]]);
}
