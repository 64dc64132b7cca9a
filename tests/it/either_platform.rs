//! A user of either bot platform, with the same methods.

use sandbox::botpress::UpstreamUser;
use tests::{ASK, World};

/// A user who is with an agent at first.
pub(crate) enum User {
    Bot(UpstreamUser),
    Widget(String),
}

impl User {
    pub(crate) async fn new(world: &World, widget: bool) -> Self {
        match widget {
            true => Self::Widget(world.handed_over_user().await),
            false => Self::Bot(world.escalated_user("Ann").await),
        }
    }

    pub(crate) async fn says(&self, world: &World, text: &str) {
        match self {
            Self::Bot(user) => world.says(user, text).await,
            Self::Widget(user) => world.widget_says(user, text).await,
        }
    }

    pub(crate) async fn asks_for_a_person(&self, world: &World) -> bool {
        match self {
            Self::Bot(user) => {
                world.says(user, "hello again").await;
                world.escalate(user).await.is_ok()
            }
            Self::Widget(user) => {
                world.widget_says(user, ASK).await;
                self.is_with_agent(world)
            }
        }
    }

    pub(crate) fn is_with_agent(&self, world: &World) -> bool {
        match self {
            Self::Bot(user) => world.stack.botpress.is_escalated(&user.conversation_id),
            Self::Widget(user) => world.stack.botcopy.is_paused(user),
        }
    }

    pub(crate) fn shown(&self, world: &World) -> Vec<String> {
        match self {
            Self::Bot(_) => world.shown_by_agents(),
            Self::Widget(user) => world.widget_shows(user, "agent"),
        }
    }
}
