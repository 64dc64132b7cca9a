//! What LiveChat and the scheduler call.
