//! Who a token stands for, and how soon it stops doing so.

use std::time::Duration;

use chrono::TimeDelta;
use test_support::until;
use testrun_shared::actions::identity::{self, TokenRequest};
use testrun_shared::auth::{Authenticator, Token};
use testrun_shared::db;
use testrun_shared::domain::identity::Role;
use testrun_shared::error::Error;

use crate::world::{World, fields};

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

#[tokio::test]
async fn a_token_stands_for_its_user_in_its_project_with_its_role() -> anyhow::Result<()> {
    let w = World::new().await?;
    let other = w.database.tenant("B").await?;
    for role in Role::ALL {
        let token = w.database.token("A", &w.tenant.email, *role).await?;
        for header in [bearer(&token), format!("bearer {token}"), format!("BEARER   {token} ")] {
            let caller = Authenticator::new(w.db.clone()).authenticate(Some(&header)).await?;
            assert_eq!((caller.project_id, caller.user_id), (w.tenant.project_id, w.tenant.user_id));
            assert_eq!(caller.role, *role);
        }
    }
    assert_ne!(other.caller.project_id, w.tenant.caller.project_id);
    let used = "SELECT count(*) FROM api_tokens WHERE last_used_at IS NOT NULL AND project_id = $1";
    assert_eq!(w.count(used, w.tenant.project_id).await?, 4, "each token notes that it was used");
    Ok(())
}

#[tokio::test]
async fn whatever_is_not_a_stored_token_is_refused() -> anyhow::Result<()> {
    let w = World::new().await?;
    let authenticator = Authenticator::new(w.db.clone());
    let unknown = bearer(Token::generate().reveal());
    let cut = bearer(&w.tenant.token[..w.tenant.token.len() - 1]);
    let basic = format!("Basic {}", w.tenant.token);
    for (header, reason) in [
        (None, "required"),
        (Some(""), "must be"),
        (Some(w.tenant.token.as_str()), "must be"),
        (Some(basic.as_str()), "must be"),
        (Some("Bearer "), "malformed"),
        (Some("Bearer trn_'; DROP TABLE users; --"), "malformed"),
        (Some(cut.as_str()), "malformed"),
        (Some(unknown.as_str()), "unknown"),
    ] {
        match authenticator.authenticate(header).await {
            Err(Error::Unauthenticated(text)) => assert!(text.contains(reason), "{header:?}: {text}"),
            other => panic!("{header:?}: {other:?}"),
        }
    }
    Ok(())
}

#[tokio::test]
async fn what_is_taken_away_is_gone_within_five_seconds_where_the_token_was_known() -> anyhow::Result<()> {
    let w = World::new().await?;
    let known = Authenticator::new(w.db.clone());
    let mut tokens = Vec::new();
    for (index, email) in ["revoked@example.com", "removed@example.com", "demoted@example.com", "late@example.com"]
        .into_iter()
        .enumerate()
    {
        identity::create_user(&w.db, email, &format!("User {index}")).await?;
        let token = bearer(&w.database.token("A", email, Role::Admin).await?);
        known.authenticate(Some(&token)).await?.require(Role::Admin)?;
        tokens.push(token);
    }
    let revoked = known.authenticate(Some(&tokens[0])).await?.token_id;
    assert!(db::api_tokens::revoke(&w.db, revoked).await?);
    assert!(!db::api_tokens::revoke(&w.db, revoked).await?, "it was revoked before");
    w.execute("DELETE FROM project_members USING users u WHERE u.id = user_id AND u.email = 'removed@example.com'")
        .await?;
    w.execute(
        "UPDATE project_members SET role = 'viewer' FROM users u WHERE u.id = user_id AND u.email = 'demoted@example.com'",
    )
    .await?;
    w.execute(
        "UPDATE api_tokens SET expires_at = now() FROM users u WHERE u.id = user_id AND u.email = 'late@example.com'",
    )
    .await?;

    for gone in [0, 1, 3] {
        let fresh = Authenticator::new(w.db.clone()).authenticate(Some(&tokens[gone])).await;
        assert!(matches!(fresh, Err(Error::Unauthenticated(_))), "a replica that did not know it: {fresh:?}");
    }
    until("the replica to notice all four", Duration::from_secs(5), || async {
        for gone in [0, 1, 3] {
            match known.authenticate(Some(&tokens[gone])).await {
                Err(Error::Unauthenticated(_)) => {}
                Ok(_) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
        let demoted = known.authenticate(Some(&tokens[2])).await?;
        Ok((demoted.role == Role::Viewer).then_some(()))
    })
    .await?;
    let demoted = known.authenticate(Some(&tokens[2])).await?;
    assert!(matches!(demoted.require(Role::Member), Err(Error::Forbidden(_))));
    Ok(())
}

#[tokio::test]
async fn a_promoted_member_does_not_gain_by_an_old_token() -> anyhow::Result<()> {
    let w = World::new().await?;
    identity::create_user(&w.db, "new@example.com", "New").await?;
    let old = w.database.token("A", "new@example.com", Role::Viewer).await?;
    w.database.token("A", "new@example.com", Role::Admin).await?;
    // A lower token later does not take the membership's role away.
    w.database.token("A", "new@example.com", Role::Viewer).await?;
    let caller = Authenticator::new(w.db.clone()).authenticate(Some(&bearer(&old))).await?;
    assert_eq!(caller.role, Role::Viewer);
    let admins = "SELECT count(*) FROM project_members WHERE role = 'admin' AND project_id = $1";
    assert_eq!(w.count(admins, w.tenant.project_id).await?, 2);
    Ok(())
}

#[tokio::test]
async fn only_a_hash_of_a_token_is_stored() -> anyhow::Result<()> {
    let w = World::new().await?;
    let random_part = &w.tenant.token[8..];
    let (text, hash, hint): (String, Vec<u8>, String) =
        sqlx::query_as("SELECT to_jsonb(t)::text, token_hash, token_hint FROM api_tokens t").fetch_one(&w.db).await?;
    assert!(!text.contains(random_part), "the row shows the token");
    assert!(!String::from_utf8_lossy(&hash).contains(random_part));
    assert_eq!(hash, Token::parse(&w.tenant.token)?.hash());
    assert!(w.tenant.token.starts_with(hint.trim_end_matches('…')) && hint.chars().count() < 12, "{hint}");
    Ok(())
}

#[tokio::test]
async fn a_token_for_nobody_or_for_the_past_is_not_made() -> anyhow::Result<()> {
    let w = World::new().await?;
    let now = db::now(&w.db).await?;
    let request = TokenRequest {
        project: "A",
        user: &w.tenant.email,
        name: "CI",
        role: Role::Member,
        expires_at: Some(now + TimeDelta::hours(1)),
        is_operator: false,
    };
    let token = identity::create_token(&w.db, &request).await?;
    assert!(Authenticator::new(w.db.clone()).authenticate(Some(&bearer(token.reveal()))).await.is_ok());

    let past = TokenRequest { expires_at: Some(now), ..request };
    let error = identity::create_token(&w.db, &past).await.expect_err("it would be born expired");
    assert_eq!(fields(&error), ["expires_at"]);
    let unnamed = TokenRequest { name: " ", expires_at: None, ..past };
    assert_eq!(fields(&identity::create_token(&w.db, &unnamed).await.expect_err("no name")), ["name"]);
    for request in [
        TokenRequest { project: "nowhere", name: "CI", user: unnamed.user, role: unnamed.role, ..unnamed },
        TokenRequest { user: "nobody@example.com", name: "CI", ..unnamed },
    ] {
        let error = identity::create_token(&w.db, &request).await.expect_err("no such thing");
        assert!(matches!(error, Error::NotFound { .. }), "{error}");
    }
    let tokens = "SELECT count(*) FROM api_tokens WHERE project_id = $1";
    assert_eq!(w.count(tokens, w.tenant.project_id).await?, 2, "what was refused left nothing");
    Ok(())
}
