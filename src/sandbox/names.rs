use wasmparser::{Parser, Payload};

/// What a component imports and exports, by the names that its WIT gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExternNames {
    pub imports: Vec<String>,
    pub exports: Vec<String>,
}

/// Of the outermost component alone. What cannot be parsed has none.
pub fn extern_names(bytes: &[u8]) -> ExternNames {
    let mut names = ExternNames::default();
    let mut depth = 0usize;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload {
            Ok(Payload::ModuleSection { .. } | Payload::ComponentSection { .. }) => depth += 1,
            Ok(Payload::End(_)) => depth = depth.saturating_sub(1),
            Ok(Payload::ComponentImportSection(section)) if depth == 0 => {
                names.imports.extend(section.into_iter().flatten().map(|import| import.name.name.to_owned()));
            }
            Ok(Payload::ComponentExportSection(section)) if depth == 0 => {
                names.exports.extend(section.into_iter().flatten().map(|export| export.name.name.to_owned()));
            }
            Ok(_) => {}
            Err(_) => break,
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_outermost_component() {
        let text = r#"(component
            (import "a:b/c@0.1.0" (instance))
            (component $inner (import "inner" (func)))
            (core module $m (func (export "run")))
            (core instance $i (instantiate $m))
            (func (export "run") (canon lift (core func $i "run"))))"#;
        let bytes = wat::parse_str(text).expect("a component");
        let ExternNames { imports, exports } = extern_names(&bytes);
        assert_eq!((imports, exports), (vec!["a:b/c@0.1.0".to_owned()], vec!["run".to_owned()]));
        assert_eq!(extern_names(b"no component"), ExternNames::default());
    }
}
