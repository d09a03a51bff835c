//! Ghostscript: pages of text, curves, patterns and images render to the same
//! bytes, directly and via PDF.

use std::path::{Path, PathBuf};

use crate::folder::Folder;
use crate::installed::find_installed;
use crate::twice::{Under, assert_same_output, contents, printed, program_file};

const PAGES: usize = 5;

fn run(under: Under, program: &Path, folder: &Folder, arguments: &[&str], from: &Path) {
    let mut command = under.command(program);
    command.args(["-q", "-dBATCH", "-dNOPAUSE", "-dSAFER"]).args(arguments).arg(from);
    printed(command.current_dir(folder.path()));
}

fn pages(folder: &Folder, name: &str) -> Vec<PathBuf> {
    (1..=PAGES).map(|page| folder.at(&format!("{name}{page}.png"))).collect()
}

#[test]
fn pages_are_the_same() {
    let Some(program) = find_installed("gs", "ghostscript", "--version") else { return };
    assert_same_output(|under| {
        let folder = Folder::new("ghostscript");
        let png = ["-sDEVICE=png16m", "-r100", "-dTextAlphaBits=4", "-dGraphicsAlphaBits=2"];
        let from = program_file("pages.ps");
        let (ps, pdf) = ("-sOutputFile=ps%d.png", "-sOutputFile=pdf%d.png");
        run(under, &program, &folder, &[&png[..], &[ps]].concat(), &from);
        run(under, &program, &folder, &["-sDEVICE=pdfwrite", "-sOutputFile=pages.pdf"], &from);
        let threads = ["-dNumRenderingThreads=2", "-dBandHeight=100", "-dMaxBitmap=0"];
        run(
            under,
            &program,
            &folder,
            &[&png[..], &threads, &[pdf]].concat(),
            &folder.at("pages.pdf"),
        );
        contents(&[pages(&folder, "ps"), pages(&folder, "pdf")].concat())
    });
}
