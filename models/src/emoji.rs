//! What common emoji say, -4 (worst) to 4 (best).
//!
//! Labelled tweets of 2013 to 2016 hold next to none, and messages of today are full of them: these values are this
//! project's own judgement of how each is used, on the scale of the VADER lexicon.

/// Emoji of one value.
pub const VALUES: &[(f64, &str)] = &[
    (3.2, "😍 🥰 😻 💖 💗 💕 💘 💝 💞 💓 ❤ 🧡 💛 💚 💙 💜 🤎 🖤 🤍 ♥ ❤‍🔥"),
    (2.8, "🥳 🎉 🎊 🏆 🥇 💯 🤩 👏 🙌 🎂 🌟"),
    (2.4, "😀 😃 😄 😁 😊 😇 🤗 😘 😚 😙 😗 😋 👍 👌 🫶 😂 🤣 😆 😺 😸 🌈 ☀ ⭐ ✨ 🎁 🌹 💐 🌸"),
    (
        1.8,
        "🙂 😉 😌 😎 ☺ 🤭 😹 💪 🤞 ✌ 🤟 🤘 🤙 🙏 🔥 🍀 😏 😛 😜 😝 🤪 😽 👑 💋 🥂 🍾 🎶 🎵 ✅ ✔ 🌞 🌻 🌷 💃 🕺",
    ),
    (-0.6, "😐 😑 😶 🤷 🤷‍♂ 🤷‍♀ 🤔 😬 😕 🙃 🥱 😴 😮 😯 🤨 😲 🫤"),
    (-1.4, "😔 😞 😟 🙁 ☹ 😣 😖 😩 😫 😓 😥 😰 🥺 😳 🙄 😒 😪 🤐 🥴 😵 🤦 🤦‍♂ 🤦‍♀ 🙈 😿 🌧 🥀 ❌ 🚫"),
    (-2.2, "😢 😭 😨 😱 🤒 🤕 🤧 😷 💔 😤 👎 🤢 ⚠ 💀 ☠ 😾"),
    (-3.0, "😠 😡 🤬 🤮 💩 🖕 👿 😈 🤡"),
];

/// Each emoji with its value.
pub fn values() -> impl Iterator<Item = (&'static str, f64)> {
    VALUES.iter().flat_map(|&(value, emoji)| emoji.split(' ').map(move |one| (one, value)))
}
