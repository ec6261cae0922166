//! Writes the bindings for other languages: `make bindings`.

fn main() {
    uniffi::uniffi_bindgen_main();
}
