#ifndef CARPOOL_IO_USER_NAME_H
#define CARPOOL_IO_USER_NAME_H

/* Names of users, by the system's user database. What is not in /etc/passwd may be in a directory somewhere
 * on the network, which is asked by a thread, and no one waits long for it. */

#include <stdbool.h>
#include <stdint.h>

#define USER_NAME_SIZE 256

/* False: /etc/passwd has no such user, or cannot be read. */
bool user_name_in_file(uint32_t uid, char name[USER_NAME_SIZE]);

/* A question under way. */
struct user_question;

/* Each is a thread until it is answered. NULL: no memory, or no thread. */
struct user_question *user_question_ask(uint32_t uid);

/* Waits for the answer for at most `ms`. False: it is not there yet. Otherwise the question is gone, and
 * `name` is empty where the user has none. */
bool user_question_answer(struct user_question *q, unsigned ms, char name[USER_NAME_SIZE]);

/* The answer is not wanted any more. */
void user_question_drop(struct user_question *q);

#endif
