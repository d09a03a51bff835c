//! The workflows in `.github/workflows` run every step of the scripts in `.ci`,
//! each in one job, and nothing that the scripts do not know. The forms in
//! `.github/ISSUE_TEMPLATE` are well formed.

use std::collections::{BTreeMap, BTreeSet};

use laws::commands::steps;
use laws::workspace::{read, root, with_extension};
use saphyr::{LoadableYamlNode, Yaml};

/// Steps that prepare a machine. Any job may begin with them; each other step
/// belongs to one job.
const PREPARATIONS: &[&str] = &["packages", "fetch"];

/// What a matrix of steps puts in.
const MATRIX_STEP: &str = "${{ matrix.step }}";

/// A job of a workflow.
struct Job<'a> {
    name: &'a str,
    yaml: &'a Yaml<'a>,
}

impl<'a> Job<'a> {
    /// The members of its `steps`.
    fn members(&self) -> impl Iterator<Item = &'a Yaml<'a>> {
        let steps = self.yaml.as_mapping_get("steps").and_then(Yaml::as_sequence);
        steps.unwrap_or_else(|| panic!("job {} has no steps", self.name)).iter()
    }

    /// The commands that it runs, as words; those of a matrix once for each
    /// value.
    fn commands(&self) -> Vec<Vec<String>> {
        let lines = self.members().filter_map(|step| text(step, "run")).flat_map(str::lines);
        let lines = lines.filter(|line| !line.trim().is_empty());
        let values = self.matrix();
        let mut commands = Vec::new();
        for line in lines {
            if line.contains(MATRIX_STEP) {
                assert!(!values.is_empty(), "job {} has no matrix of steps", self.name);
                commands.extend(values.iter().map(|value| line.replace(MATRIX_STEP, value)));
            } else {
                commands.push(line.to_owned());
            }
        }
        commands
            .iter()
            .map(|command| command.split_whitespace().map(str::to_owned).collect())
            .collect()
    }

    /// The values of `matrix.step`.
    fn matrix(&self) -> Vec<&'a str> {
        ["strategy", "matrix", "step"]
            .iter()
            .try_fold(self.yaml, |yaml, key| yaml.as_mapping_get(key))
            .and_then(Yaml::as_sequence)
            .map_or(Vec::new(), |steps| steps.iter().filter_map(Yaml::as_str).collect())
    }
}

fn text<'a>(yaml: &'a Yaml<'a>, key: &str) -> Option<&'a str> {
    yaml.as_mapping_get(key)?.as_str()
}

fn parse(text: &str) -> Vec<Yaml<'_>> {
    let documents = Yaml::load_from_str(text).expect("valid YAML");
    assert_eq!(documents.len(), 1, "one document a file");
    documents
}

fn jobs<'a>(workflow: &'a Yaml<'a>) -> Vec<Job<'a>> {
    let jobs = workflow.as_mapping_get("jobs").and_then(Yaml::as_mapping).expect("jobs");
    jobs.iter().map(|(name, yaml)| Job { name: name.as_str().expect("a name"), yaml }).collect()
}

/// The text of each workflow, by file name.
fn workflows() -> BTreeMap<String, String> {
    texts(".github/workflows")
}

/// The text of each YAML file in a folder, by file name.
fn texts(folder: &str) -> BTreeMap<String, String> {
    with_extension(&root().join(folder), &["yml"])
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), read(path)))
        .collect()
}

/// How many jobs run each step of a script.
fn runs(workflow: &str, script: &str) -> BTreeMap<String, usize> {
    let mut runs: BTreeMap<String, usize> =
        steps(script).into_iter().map(|step| (step, 0)).collect();
    for job in jobs(&parse(workflow)[0]) {
        for command in job.commands().iter().filter(|command| command[0] == script) {
            assert!(command.len() > 1, "job {} runs all of {script}", job.name);
            for step in &command[1..] {
                let count = runs.get_mut(step);
                *count.unwrap_or_else(|| panic!("{script} has no step {step}")) += 1;
            }
        }
    }
    runs
}

#[test]
fn every_step_is_run_by_one_job() {
    let workflows = workflows();
    for (file, script) in [("ci.yml", ".ci/run"), ("nightly.yml", ".ci/nightly")] {
        for (step, jobs) in runs(&workflows[file], script) {
            if PREPARATIONS.contains(&step.as_str()) {
                assert!(jobs > 0, "{file}: no job runs {step}");
            } else {
                assert_eq!(jobs, 1, "{file}: jobs that run {step}");
            }
        }
    }
}

/// A workflow does nothing that cannot be done by hand: it calls scripts that
/// are there, beside `rustup`.
#[test]
fn every_command_is_a_script_of_the_repository() {
    for (file, text) in workflows() {
        let documents = parse(&text);
        let jobs = jobs(&documents[0]);
        assert!(!jobs.is_empty(), "{file}");
        for job in jobs {
            let commands = job.commands();
            assert!(commands.iter().any(|it| it[0].starts_with(".ci/")), "{file}: {}", job.name);
            for command in commands {
                let known = command[0] == "rustup"
                    || command[0].starts_with(".ci/") && root().join(&command[0]).is_file();
                assert!(known, "{file}: {command:?}");
            }
        }
    }
}

/// Least rights, a time limit, and actions of a known major version.
#[test]
fn workflows_are_bounded() {
    for (file, text) in workflows() {
        let documents = parse(&text);
        let workflow = &documents[0];
        let permissions = workflow.as_mapping_get("permissions").and_then(Yaml::as_mapping);
        let permissions = permissions.unwrap_or_else(|| panic!("{file} has no permissions"));
        for (scope, right) in permissions {
            let (scope, right) = (scope.as_str(), right.as_str());
            assert!(right == Some("read"), "{file}: {scope:?}: {right:?}");
        }
        for job in jobs(workflow) {
            let name = job.name;
            let own = job.yaml.as_mapping_get("permissions");
            assert!(own.is_none(), "{file}: {name} has rights of its own");
            let minutes = job.yaml.as_mapping_get("timeout-minutes").and_then(Yaml::as_integer);
            assert!(minutes.is_some_and(|it| it <= 120), "{file}: {name}: {minutes:?} minutes");
            for action in job.members().filter_map(|step| self::text(step, "uses")) {
                let version = action.split_once("@v").map(|(_, version)| version);
                let pinned =
                    version.is_some_and(|it| it.bytes().next().is_some_and(|b| b.is_ascii_digit()));
                assert!(pinned, "{file}: {name} uses {action}");
            }
        }
    }
}

/// GitHub ignores a form that is not as it expects, and offers none.
#[test]
fn issue_forms_are_well_formed() {
    let mut forms = texts(".github/ISSUE_TEMPLATE");
    assert!(forms.remove("config.yml").is_some_and(|it| !parse(&it).is_empty()));
    assert!(forms.len() > 1, "{:?}", forms.keys());
    for (file, form) in &forms {
        let documents = parse(form);
        let form = &documents[0];
        for key in ["name", "description"] {
            assert!(text(form, key).is_some(), "{file} has no {key}");
        }
        let body = form.as_mapping_get("body").and_then(Yaml::as_sequence).expect("a body");
        let mut ids = BTreeSet::new();
        for field in body.iter().filter(|it| text(it, "type") != Some("markdown")) {
            let id = text(field, "id").unwrap_or_else(|| panic!("{file}: a field has no id"));
            assert!(ids.insert(id), "{file}: two fields are called {id}");
            let label = field.as_mapping_get("attributes").and_then(|it| text(it, "label"));
            assert!(label.is_some(), "{file}: {id} has no label");
            let known = ["input", "textarea", "dropdown", "checkboxes"];
            assert!(text(field, "type").is_some_and(|it| known.contains(&it)), "{file}: {id}");
        }
    }
}

#[test]
fn a_matrix_stands_for_its_values() {
    let text = "jobs:\n  a:\n    strategy: {matrix: {step: [x, y]}}\n    steps:\n      - run: |\n          first\n          do ${{ matrix.step }}\n";
    let documents = parse(text);
    let [job] = &jobs(&documents[0])[..] else { panic!("one job") };
    assert_eq!(job.commands(), [vec!["first"], vec!["do", "x"], vec!["do", "y"]]);
}
