//! `boards/json.schema.json`, and a check of values against it: the part of JSON Schema that the file uses, and no other.

use serde_json::Value;
use std::path::Path;

/// The schema of all JSON lines.
pub struct Schema(Value);

impl Schema {
    pub fn load() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("boards/json.schema.json");
        let text = std::fs::read_to_string(path).expect("the schema is there");
        Self(serde_json::from_str(&text).expect("the schema is JSON"))
    }

    /// Whether `value` is what the schema calls `name`, with no keys that it does not tell of, and one of the lines at all.
    pub fn check(&self, name: &str, value: &Value) -> Result<(), String> {
        self.at(&self.0["$defs"][name], value, name)?;
        self.any_of(&self.0["anyOf"], value, "line")
    }

    fn at(&self, schema: &Value, value: &Value, path: &str) -> Result<(), String> {
        let Some(keywords) = schema.as_object() else {
            return Err(format!("{path}: there is no such schema"));
        };
        for (keyword, wanted) in keywords {
            match keyword.as_str() {
                "description" | "format" => {}
                "$ref" => {
                    let name = wanted.as_str().and_then(|r| r.strip_prefix("#/$defs/"));
                    self.at(&self.0["$defs"][name.unwrap_or_default()], value, path)?;
                }
                "anyOf" => self.any_of(wanted, value, path)?,
                "const" if wanted == value => {}
                "const" => return Err(format!("{path}: {value} is not {wanted}")),
                "enum" if list(wanted).contains(value) => {}
                "enum" => return Err(format!("{path}: {value} is none of {wanted}")),
                "type" => check_type(wanted, value, path)?,
                "minimum" | "maximum" => check_bound(keyword, wanted, value, path)?,
                "minItems" | "maxItems" => {
                    let count = value.as_array().map(|items| Value::from(items.len()));
                    if let Some(count) = count {
                        let bound = &keyword.replace("Items", "imum");
                        check_bound(bound, wanted, &count, path)?;
                    }
                }
                "items" => {
                    for (n, item) in list(value).iter().enumerate() {
                        self.at(wanted, item, &format!("{path}[{n}]"))?;
                    }
                }
                "required" => {
                    let missing =
                        |key: &&Value| value.is_object() && value.get(text(key)).is_none();
                    if let Some(key) = list(wanted).iter().find(missing) {
                        return Err(format!("{path}: {key} is missing"));
                    }
                }
                "properties" => {
                    for (key, value) in value.as_object().into_iter().flatten() {
                        let path = format!("{path}.{key}");
                        match wanted.get(key) {
                            Some(schema) => self.at(schema, value, &path)?,
                            None => return Err(format!("{path}: the schema does not tell of it")),
                        }
                    }
                }
                other => return Err(format!("{path}: {other} is not known to this check")),
            }
        }
        Ok(())
    }

    fn any_of(&self, schemas: &Value, value: &Value, path: &str) -> Result<(), String> {
        let errors: Vec<String> = list(schemas)
            .iter()
            .filter_map(|schema| self.at(schema, value, path).err())
            .collect();
        if errors.len() < list(schemas).len() {
            return Ok(());
        }
        Err(format!("{path}: {}", errors.join("; or ")))
    }
}

fn check_type(wanted: &Value, value: &Value, path: &str) -> Result<(), String> {
    let is_of = |name: &str| match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{other} is not a type"),
    };
    let fits = match wanted {
        Value::Array(names) => names.iter().any(|name| is_of(text(name))),
        name => is_of(text(name)),
    };
    if fits {
        return Ok(());
    }
    Err(format!("{path}: {value} is not of type {wanted}"))
}

fn check_bound(bound: &str, wanted: &Value, value: &Value, path: &str) -> Result<(), String> {
    let (Some(limit), Some(number)) = (wanted.as_f64(), value.as_f64()) else {
        return Ok(());
    };
    let fits = match bound {
        "minimum" => number >= limit,
        _ => number <= limit,
    };
    if fits {
        return Ok(());
    }
    Err(format!("{path}: {number} is beyond the {bound} of {limit}"))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], |items| items)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
